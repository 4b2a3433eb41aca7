"""A machine as detection sees it, made up."""

from collections.abc import Mapping
from dataclasses import dataclass, field

CPUINFO = (
    "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC 9654 96-Core\nflags\t\t: fpu avx2\n"
)
SMI = "NVIDIA H200, 9.0\n"
HEADERS = {"/usr/include/vulkan/vulkan_core.h": ["#define VK_HEADER_VERSION 309\n"]}
VULKANINFO = """
GPU0:
	apiVersion         = 1.3.255
	deviceType         = PHYSICAL_DEVICE_TYPE_CPU
	deviceName         = llvmpipe (LLVM 15.0.7, 256 bits)
GPU1:
	deviceType         = PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU
	deviceName         = Intel(R) Iris(R) Xe Graphics
GPU2:
	deviceType         = PHYSICAL_DEVICE_TYPE_DISCRETE_GPU
	deviceName         = Intel(R) Arc(tm) A770
"""


@dataclass
class FakeProbes:
    programs: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    paths: set[str] = field(default_factory=set)
    files: dict[str, list[str]] = field(default_factory=lambda: {"/proc/cpuinfo": [CPUINFO]})
    environ: Mapping[str, str] = field(default_factory=dict)
    os: str = "Linux"
    processor: str = "x86_64"

    def system(self) -> str:
        return self.os

    def machine(self) -> str:
        return self.processor

    def find(self, name: str, *places: str) -> str | None:
        return self.programs.get(name)

    def exists(self, path: str) -> bool:
        return path in self.paths

    def read(self, pattern: str) -> list[str]:
        return self.files.get(pattern, [])

    def run(self, *argv: str) -> str | None:
        return self.outputs.get(argv[0])


def nvidia(smi: str = SMI, **programs: str) -> FakeProbes:
    return FakeProbes({"nvidia-smi": "/usr/bin/nvidia-smi", **programs}, {"/usr/bin/nvidia-smi": smi})
