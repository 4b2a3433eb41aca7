"""CUDA: NVIDIA's GPUs."""

import re
from typing import Final

from mesh.engine.backends.backend_kind import BackendKind, Probes
from mesh.engine.types import Backend

_MIB: Final = 1 << 20


def detect(probes: Probes) -> Backend | str:
    smi = _nvidia_smi(probes)
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


def free_memory(probes: Probes) -> int | None:
    """Bytes free on all GPUs together; None where nvidia-smi does not say."""
    smi = _nvidia_smi(probes)
    output = probes.run(smi, "--query-gpu=memory.free", "--format=csv,noheader,nounits") if smi else None
    values = [line.strip() for line in (output or "").splitlines() if line.strip()]
    if not values or not all(value.isdigit() for value in values):
        return None
    return sum(int(value) for value in values) * _MIB


def _nvidia_smi(probes: Probes) -> str | None:
    return probes.find("nvidia-smi", "/usr/lib/wsl/lib", "/usr/bin", "/usr/local/bin")


CUDA: Final = BackendKind(
    name="cuda",
    detect=detect,
    devices=("CUDA",),
    bandwidth=250e9,
    disk_needed=3_000_000_000,
    own_compiler=True,
    free_memory=free_memory,
)
