"""What this machine computes with: CUDA, Metal, ROCm, Vulkan or its processor, and why.

A backend is chosen when there is a device for it *and* what it takes to build for it; a device
that has to lie idle for want of a compiler is named in the reason, with what would help.
"""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from mesh.engine.engine_errors import EngineError
from mesh.engine.types import Backend, Kind

__all__ = ["Backend", "detect"]

_MIB = 1 << 20


class Probes(Protocol):
    """How a machine is looked at."""

    environ: Mapping[str, str]

    def system(self) -> str:
        """``Linux`` or ``Darwin``."""

    def machine(self) -> str:
        """The processor's architecture."""

    def find(self, name: str, *places: str) -> str | None:
        """Full path of a program on the PATH or in ``places``."""

    def exists(self, path: str) -> bool:
        """Whether a file is there."""

    def read(self, pattern: str) -> list[str]:
        """The texts of the files that match a pattern."""

    def run(self, *argv: str) -> str | None:
        """What a program prints; None when it fails or takes more than 10 s."""


class MachineProbes:
    """The real ones."""

    environ: Mapping[str, str] = os.environ

    def system(self) -> str:
        return platform.system()

    def machine(self) -> str:
        return platform.machine()

    def find(self, name: str, *places: str) -> str | None:
        return shutil.which(name) or next(
            filter(None, (shutil.which(name, path=place) for place in places)), None
        )

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def read(self, pattern: str) -> list[str]:
        texts = []
        for path in sorted(Path("/").glob(pattern.lstrip("/"))):
            try:
                texts.append(path.read_text(errors="replace"))
            except OSError:
                continue
        return texts

    def run(self, *argv: str) -> str | None:
        try:
            done = subprocess.run(
                argv, capture_output=True, text=True, errors="replace", timeout=10, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout if done.returncode == 0 else None


def detect(probes: Probes | None = None) -> Backend:
    """The backend of this machine. Blocking, up to some seconds. ``MESH_BACKEND`` overrules what is found."""
    probes = probes or MachineProbes()
    order = (
        {"cuda": _cuda, "rocm": _rocm, "vulkan": _vulkan}
        if probes.system() != "Darwin"
        else {"metal": _metal}
    )
    wanted = probes.environ.get("MESH_BACKEND", "").lower()
    if wanted == "cpu":
        return _cpu(probes, "MESH_BACKEND=cpu")
    if wanted and wanted not in order:
        raise EngineError(f"MESH_BACKEND={wanted} is none of {', '.join([*order, 'cpu'])} on this system")
    reasons: list[str] = []
    for kind, look in order.items():
        if wanted in ("", kind):
            found = look(probes)
            if isinstance(found, Backend):
                return Backend(
                    found.kind, found.name, "; ".join([found.reason, *reasons]), found.flags, found.memory
                )
            reasons.append(found)
    if wanted:
        raise EngineError(
            f"MESH_BACKEND={wanted}: {'; '.join(reasons)}", "unset MESH_BACKEND to use what there is"
        )
    return _cpu(probes, "; ".join(reasons))


def _cuda(probes: Probes) -> Backend | str:
    smi = probes.find("nvidia-smi", "/usr/lib/wsl/lib", "/usr/bin", "/usr/local/bin")
    if smi is None:
        return "no nvidia-smi"
    output = probes.run(smi, "--query-gpu=name,memory.total,compute_cap", "--format=csv,noheader,nounits")
    cards = parse_nvidia_smi(output or "")
    if not cards:
        return "nvidia-smi finds no GPU"
    home = probes.environ.get("CUDA_HOME") or probes.environ.get("CUDA_PATH") or "/usr/local/cuda"
    nvcc = probes.find("nvcc", f"{home}/bin", "/opt/cuda/bin")
    name = cards[0][0] if len(cards) == 1 else f"{len(cards)} x {cards[0][0]}"
    if nvcc is None:
        return f"{name}, but no nvcc to build for it (install the CUDA toolkit)"
    capabilities = sorted({capability.replace(".", "") for _, _, capability in cards if capability})
    flags = ["-DGGML_CUDA=ON", f"-DCMAKE_CUDA_COMPILER={nvcc}"]
    if capabilities:
        flags.append(f"-DCMAKE_CUDA_ARCHITECTURES={';'.join(capabilities)}")
    return Backend(
        "cuda", name, f"nvidia-smi and {nvcc}", tuple(flags), sum(memory for _, memory, _ in cards)
    )


def parse_nvidia_smi(output: str) -> list[tuple[str, int, str]]:
    """``(name, bytes, compute capability)`` of each line of nvidia-smi's CSV; ``[N/A]`` is 0 or empty."""
    cards = []
    for line in output.splitlines():
        fields = [field.strip() for field in line.split(",")]
        if len(fields) == 3 and fields[0] and "fail" not in fields[0].lower():
            memory = int(fields[1]) * _MIB if fields[1].isdigit() else 0
            cards.append((fields[0], memory, fields[2] if re.fullmatch(r"\d+\.\d+", fields[2]) else ""))
    return cards


def _rocm(probes: Probes) -> Backend | str:
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
    memory = sum(
        int(text)
        for text in probes.read("/sys/class/drm/card*/device/mem_info_vram_total")
        if text.strip().isdigit()
    )
    targets = ";".join(sorted({target for _, target in agents}))
    compiler = f"{home}/llvm/bin/clang++"
    flags: tuple[str, ...] = ("-DGGML_HIP=ON", f"-DGPU_TARGETS={targets}", f"-DCMAKE_PREFIX_PATH={home}")
    if probes.exists(compiler):
        flags += (f"-DCMAKE_HIP_COMPILER={compiler}",)
    return Backend("rocm", name, f"/dev/kfd ({target}) and {hipcc}", flags, memory)


def parse_rocminfo(output: str) -> list[tuple[str, str]]:
    """``(marketing name, gfx target)`` of each GPU agent."""
    agents = []
    for block in re.split(r"^Agent \d+\s*$", output, flags=re.MULTILINE)[1:]:
        target = re.search(r"^\s*Name:\s*(gfx\w+)", block, re.MULTILINE)
        name = re.search(r"^\s*Marketing Name:\s*(\S.*?)\s*$", block, re.MULTILINE)
        if target:
            agents.append((name.group(1) if name else target.group(1), target.group(1)))
    return agents


def _vulkan(probes: Probes) -> Backend | str:
    vulkaninfo = probes.find("vulkaninfo")
    if vulkaninfo is None:
        return "no vulkaninfo"
    names = parse_vulkaninfo(probes.run(vulkaninfo, "--summary") or "")
    if not names:
        return "vulkaninfo finds no GPU"
    if probes.find("glslc") is None or not any(
        probes.exists(f"{place}/vulkan/vulkan.h") for place in ("/usr/include", "/usr/local/include")
    ):
        return f"{names[0]}, but no glslc or Vulkan headers to build for it (install libvulkan-dev, glslc)"
    return Backend("vulkan", names[0], "vulkaninfo and glslc", ("-DGGML_VULKAN=ON",))


def parse_vulkaninfo(output: str) -> list[str]:
    """Names of the GPUs in ``vulkaninfo --summary``, discrete ones first; no processors that play one."""
    devices = re.findall(
        r"deviceType\s*=\s*(\w+).*?deviceName\s*=\s*(.+?)\s*$", output, re.MULTILINE | re.DOTALL
    )
    order = (
        "PHYSICAL_DEVICE_TYPE_DISCRETE_GPU",
        "PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU",
        "PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU",
    )
    return [name for wanted in order for kind, name in devices if kind == wanted]


def _metal(probes: Probes) -> Backend | str:
    if probes.machine() != "arm64":
        return "an Intel Mac, whose GPU llama.cpp does not use well"
    if probes.run("/usr/bin/xcode-select", "-p") is None:
        return "an Apple GPU, but no Xcode command line tools to build for it (xcode-select --install)"
    # The GPU shares the machine's memory; Metal's default working set is about three quarters of it.
    return Backend(
        "metal",
        _darwin_processor(probes),
        "Apple silicon",
        ("-DGGML_METAL=ON", "-DGGML_METAL_EMBED_LIBRARY=ON"),
    )


def _cpu(probes: Probes, reason: str) -> Backend:
    kind: Kind = "cpu"
    if probes.system() == "Darwin":
        return Backend(kind, _darwin_processor(probes), reason, ("-DGGML_METAL=OFF",))
    return Backend(kind, parse_cpuinfo("".join(probes.read("/proc/cpuinfo"))) or probes.machine(), reason)


def _darwin_processor(probes: Probes) -> str:
    return (probes.run("/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string") or probes.machine()).strip()


def parse_cpuinfo(text: str) -> str:
    """The processor's name in ``/proc/cpuinfo``; empty where it has none, as on many ARM systems."""
    found = re.search(r"^(?:model name|Hardware|Model)\s*:\s*(\S.*?)\s*$", text, re.MULTILINE)
    return found.group(1) if found else ""
