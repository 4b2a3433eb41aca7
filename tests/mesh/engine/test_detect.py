from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from mesh.engine.detect import detect, parse_cpuinfo, parse_nvidia_smi, parse_rocminfo, parse_vulkaninfo
from mesh.engine.engine_errors import EngineError

GIB = 1 << 30
CPUINFO = (
    "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC 9654 96-Core\nflags\t\t: fpu avx2\n"
)
SMI = "NVIDIA H200, 143771, 9.0\n"
ROCMINFO = """
ROCk module is loaded
*******
Agent 1
*******
  Name:                    AMD Ryzen 9 7950X 16-Core Processor
  Marketing Name:          AMD Ryzen 9 7950X 16-Core Processor
*******
Agent 2
*******
  Name:                    gfx1100
  Uuid:                    GPU-1234
  Marketing Name:          AMD Radeon RX 7900 XTX
      Name:                    amdgcn-amd-amdhsa--gfx1100
"""
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


def test_a_machine_with_nothing_computes_with_its_processor_and_says_what_it_looked_for() -> None:
    backend = detect(FakeProbes())
    assert (backend.kind, backend.name, backend.flags, backend.memory) == (
        "cpu",
        "AMD EPYC 9654 96-Core",
        (),
        0,
    )
    assert backend.reason == "no nvidia-smi; no /dev/kfd; no vulkaninfo"


def test_an_nvidia_gpu_with_its_compiler_is_used() -> None:
    backend = detect(nvidia(nvcc="/usr/local/cuda/bin/nvcc"))
    assert (backend.kind, backend.name, backend.memory) == ("cuda", "NVIDIA H200", 143771 << 20)
    assert backend.flags == (
        "-DGGML_CUDA=ON",
        "-DCMAKE_CUDA_COMPILER=/usr/local/cuda/bin/nvcc",
        "-DCMAKE_CUDA_ARCHITECTURES=90",
    )


def test_several_nvidia_gpus_count_together() -> None:
    backend = detect(nvidia("RTX 3090, 24576, 8.6\nRTX 3090, 24576, 8.6\n", nvcc="/nvcc"))
    assert backend.name == "2 x RTX 3090"
    assert backend.memory == 48 * GIB
    assert backend.flags[-1] == "-DCMAKE_CUDA_ARCHITECTURES=86"


def test_an_nvidia_gpu_without_a_compiler_falls_back_and_says_what_would_help() -> None:
    backend = detect(nvidia())
    assert backend.kind == "cpu"
    assert "NVIDIA H200, but no nvcc" in backend.reason
    assert "CUDA toolkit" in backend.reason


def test_an_nvidia_gpu_without_its_compiler_is_used_through_vulkan_where_that_can_be_built() -> None:
    probes = nvidia(vulkaninfo="/vulkaninfo", glslc="/glslc")
    probes.outputs["/vulkaninfo"] = VULKANINFO
    probes.paths.add("/usr/include/vulkan/vulkan.h")
    backend = detect(probes)
    assert (backend.kind, backend.name, backend.flags) == (
        "vulkan",
        "Intel(R) Arc(tm) A770",
        ("-DGGML_VULKAN=ON",),
    )
    assert "no nvcc" in backend.reason


@pytest.mark.parametrize(
    "smi", ["", "No devices were found\n", "NVIDIA-SMI has failed because it couldn't communicate\n"]
)
def test_nvidia_smi_without_a_gpu_is_no_gpu(smi: str) -> None:
    assert "nvidia-smi finds no GPU" in detect(nvidia(smi, nvcc="/nvcc")).reason


def test_an_amd_gpu_with_its_compiler_is_used() -> None:
    backend = detect(
        FakeProbes(
            {"rocminfo": "/rocminfo", "hipcc": "/hipcc"},
            {"/rocminfo": ROCMINFO},
            {"/dev/kfd", "/opt/rocm/llvm/bin/clang++"},
            {"/sys/class/drm/card*/device/mem_info_vram_total": [f"{24 * GIB}\n"]},
        )
    )
    assert (backend.kind, backend.name, backend.memory) == ("rocm", "AMD Radeon RX 7900 XTX", 24 * GIB)
    assert "-DGGML_HIP=ON" in backend.flags
    assert "-DGPU_TARGETS=gfx1100" in backend.flags


def test_an_amd_gpu_without_a_compiler_falls_back_and_says_so() -> None:
    backend = detect(FakeProbes({"rocminfo": "/rocminfo"}, {"/rocminfo": ROCMINFO}, {"/dev/kfd"}))
    assert backend.kind == "cpu"
    assert "AMD Radeon RX 7900 XTX, but no hipcc" in backend.reason


def test_vulkan_without_the_means_to_build_falls_back_and_says_so() -> None:
    backend = detect(FakeProbes({"vulkaninfo": "/vulkaninfo"}, {"/vulkaninfo": VULKANINFO}))
    assert backend.kind == "cpu"
    assert "no glslc" in backend.reason


def mac(processor: str = "arm64", *, tools: bool = True) -> FakeProbes:
    outputs = {"/usr/sbin/sysctl": "Apple M2 Pro\n"} | (
        {"/usr/bin/xcode-select": "/Library"} if tools else {}
    )
    return FakeProbes(outputs=outputs, os="Darwin", processor=processor)


def test_apple_silicon_uses_metal_and_shares_the_machines_memory() -> None:
    backend = detect(mac())
    assert (backend.kind, backend.name, backend.memory) == ("metal", "Apple M2 Pro", 0)
    assert "-DGGML_METAL=ON" in backend.flags


@pytest.mark.parametrize(
    ("probes", "why"), [(mac("x86_64"), "Intel Mac"), (mac(tools=False), "xcode-select --install")]
)
def test_other_macs_compute_with_the_processor(probes: FakeProbes, why: str) -> None:
    backend = detect(probes)
    assert (backend.kind, backend.flags) == ("cpu", ("-DGGML_METAL=OFF",))
    assert why in backend.reason


def test_a_person_may_choose_the_processor() -> None:
    probes = nvidia(nvcc="/nvcc")
    probes.environ = {"MESH_BACKEND": "CPU"}
    assert detect(probes).kind == "cpu"


@pytest.mark.parametrize("wanted", ["cuda", "metal", "quantum"])
def test_choosing_what_is_not_there_is_an_error(wanted: str) -> None:
    with pytest.raises(EngineError, match=f"MESH_BACKEND={wanted}"):
        detect(FakeProbes(environ={"MESH_BACKEND": wanted}))


def test_the_real_machine_has_some_backend_with_a_name_and_a_reason() -> None:
    backend = detect()
    assert backend.name
    assert backend.reason


def test_nvidia_smi_may_not_know_everything() -> None:
    assert parse_nvidia_smi("GB10, [N/A], 12.1\nOld, 2048, [N/A]\n") == [
        ("GB10", 0, "12.1"),
        ("Old", 2 << 30, ""),
    ]


def test_rocminfo_lists_processors_too() -> None:
    assert parse_rocminfo(ROCMINFO) == [("AMD Radeon RX 7900 XTX", "gfx1100")]
    assert parse_rocminfo("") == []


def test_processors_that_play_a_gpu_are_no_gpu() -> None:
    assert parse_vulkaninfo(VULKANINFO) == ["Intel(R) Arc(tm) A770", "Intel(R) Iris(R) Xe Graphics"]


def test_processors_without_a_name() -> None:
    assert parse_cpuinfo("processor : 0\nFeatures : fp asimd\n") == ""
