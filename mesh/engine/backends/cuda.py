"""CUDA: NVIDIA's GPUs."""

import re
from typing import Final

from mesh.engine.backends.backend_kind import BackendKind, Probes
from mesh.engine.types import Backend


def detect(probes: Probes) -> Backend | str:
    smi = _nvidia_smi(probes)
    if smi is None:
        return "no nvidia-smi"
    output = probes.run(smi, "--query-gpu=name,compute_cap", "--format=csv,noheader,nounits")
    cards = parse_nvidia_smi(output or "")
    if not cards:
        return "nvidia-smi finds no GPU"
    home = probes.environ.get("CUDA_HOME") or probes.environ.get("CUDA_PATH") or "/usr/local/cuda"
    nvcc = probes.find("nvcc", f"{home}/bin", "/opt/cuda/bin")
    name = cards[0][0]  # the engine says how many of them it is given
    if nvcc is None:
        return f"{name}, but no nvcc to build for it (install the CUDA toolkit)"
    capabilities = sorted({capability.replace(".", "") for _, capability in cards if capability})
    flags = ["-DGGML_CUDA=ON", f"-DCMAKE_CUDA_COMPILER={nvcc}"]
    if capabilities:
        flags.append(f"-DCMAKE_CUDA_ARCHITECTURES={';'.join(capabilities)}")
    return Backend("cuda", name, f"nvidia-smi and {nvcc}", tuple(flags))


def parse_nvidia_smi(output: str) -> list[tuple[str, str]]:
    """``(name, compute capability)`` of each line of nvidia-smi's CSV; ``[N/A]`` is empty."""
    cards = []
    for line in output.splitlines():
        name, comma, capability = (field.strip() for field in line.rpartition(","))
        if comma and name and "fail" not in name.lower():
            cards.append((name, capability if re.fullmatch(r"\d+\.\d+", capability) else ""))
    return cards


def _nvidia_smi(probes: Probes) -> str | None:
    return probes.find("nvidia-smi", "/usr/lib/wsl/lib", "/usr/bin", "/usr/local/bin")


CUDA: Final = BackendKind(
    name="cuda",
    detect=detect,
    devices=("CUDA",),
    bandwidth=250e9,
    disk_needed=3_000_000_000,
    own_compiler=True,
)
