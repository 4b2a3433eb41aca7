import pytest

from mesh.engine.backends.cuda import parse_nvidia_smi
from mesh.engine.detect import detect
from tests.mesh.engine.fake_probes import nvidia


def test_an_nvidia_gpu_with_its_compiler_is_used() -> None:
    backend = detect(nvidia(nvcc="/usr/local/cuda/bin/nvcc"))
    assert (backend.kind, backend.name) == ("cuda", "NVIDIA H200")
    assert backend.flags == (
        "-DGGML_CUDA=ON",
        "-DCMAKE_CUDA_COMPILER=/usr/local/cuda/bin/nvcc",
        "-DCMAKE_CUDA_ARCHITECTURES=90",
    )


def test_the_engine_is_built_for_all_cards_and_itself_says_how_many_it_is_given() -> None:
    backend = detect(nvidia("RTX 3090, 8.6\nRTX 3090, 8.6\nRTX 2080, 7.5\n", nvcc="/nvcc"))
    assert backend.name == "RTX 3090"
    assert backend.flags[-1] == "-DCMAKE_CUDA_ARCHITECTURES=75;86"


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
    assert parse_nvidia_smi("GB10, 12.1\nOld, [N/A]\n, 8.6\nnothing\n") == [("GB10", "12.1"), ("Old", "")]
