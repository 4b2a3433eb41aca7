import pytest

from mesh.engine.backends.cuda import free_memory, parse_nvidia_smi
from mesh.engine.detect import detect
from tests.mesh.engine.fake_probes import FakeProbes, nvidia

GIB = 1 << 30


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


@pytest.mark.parametrize(
    "smi", ["", "No devices were found\n", "NVIDIA-SMI has failed because it couldn't communicate\n"]
)
def test_nvidia_smi_without_a_gpu_is_no_gpu(smi: str) -> None:
    assert "nvidia-smi finds no GPU" in detect(nvidia(smi, nvcc="/nvcc")).reason


def test_nvidia_smi_may_not_know_everything() -> None:
    assert parse_nvidia_smi("GB10, [N/A], 12.1\nOld, 2048, [N/A]\n") == [
        ("GB10", 0, "12.1"),
        ("Old", 2 << 30, ""),
    ]


@pytest.mark.parametrize(("smi", "free"), [("1024\n2048\n", 3 * GIB), ("[N/A]\n", None), ("", None)])
def test_free_memory_of_several_gpus_is_added(smi: str, free: int | None) -> None:
    assert free_memory(nvidia(smi)) == free


def test_without_nvidia_smi_nobody_says_how_much_is_free() -> None:
    assert free_memory(FakeProbes()) is None
