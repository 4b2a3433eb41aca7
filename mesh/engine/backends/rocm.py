"""ROCm: AMD's GPUs."""

import re
from typing import Final

from mesh.engine.backends.backend_kind import BackendKind, Probes
from mesh.engine.types import Backend


def detect(probes: Probes) -> Backend | str:
    if not probes.exists("/dev/kfd"):
        return "no /dev/kfd"
    home = probes.environ.get("ROCM_PATH", "/opt/rocm")
    rocminfo = probes.find("rocminfo", f"{home}/bin")
    agents = parse_rocminfo(probes.run(rocminfo) or "") if rocminfo else []
    if not agents:
        return "/dev/kfd, but rocminfo finds no GPU"
    name, target = agents[0]
    hipcc = probes.find("hipcc", f"{home}/bin")
    if hipcc is None:
        return f"{name}, but no hipcc to build for it (install the ROCm toolkit)"
    targets = ";".join(sorted({target for _, target in agents}))
    compiler = f"{home}/llvm/bin/clang++"
    flags: tuple[str, ...] = ("-DGGML_HIP=ON", f"-DGPU_TARGETS={targets}", f"-DCMAKE_PREFIX_PATH={home}")
    if probes.exists(compiler):
        flags += (f"-DCMAKE_HIP_COMPILER={compiler}",)
    return Backend("rocm", name, f"/dev/kfd ({target}) and {hipcc}", flags)


def parse_rocminfo(output: str) -> list[tuple[str, str]]:
    """``(marketing name, gfx target)`` of each GPU agent."""
    agents = []
    for block in re.split(r"^Agent \d+\s*$", output, flags=re.MULTILINE)[1:]:
        target = re.search(r"^\s*Name:\s*(gfx\w+)", block, re.MULTILINE)
        name = re.search(r"^\s*Marketing Name:\s*(\S.*?)\s*$", block, re.MULTILINE)
        if target:
            agents.append((name.group(1) if name else target.group(1), target.group(1)))
    return agents


ROCM: Final = BackendKind(
    name="rocm",
    detect=detect,
    devices=("ROCm", "HIP"),
    bandwidth=250e9,
    disk_needed=3_000_000_000,
    own_compiler=True,
)
