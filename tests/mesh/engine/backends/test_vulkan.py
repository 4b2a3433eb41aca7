from mesh.engine.backends.vulkan import parse_vulkaninfo
from mesh.engine.detect import detect
from tests.mesh.engine.fake_probes import VULKANINFO, FakeProbes


def test_a_gpu_is_used_where_it_can_be_built_for() -> None:
    probes = FakeProbes(
        {"vulkaninfo": "/vulkaninfo", "glslc": "/glslc"},
        {"/vulkaninfo": VULKANINFO},
        {"/usr/include/vulkan/vulkan.h"},
    )
    backend = detect(probes)
    assert (backend.kind, backend.name, backend.flags) == (
        "vulkan",
        "Intel(R) Arc(tm) A770",
        ("-DGGML_VULKAN=ON",),
    )


def test_vulkan_without_the_means_to_build_falls_back_and_says_so() -> None:
    backend = detect(FakeProbes({"vulkaninfo": "/vulkaninfo"}, {"/vulkaninfo": VULKANINFO}))
    assert backend.kind == "cpu"
    assert "no glslc" in backend.reason


def test_processors_that_play_a_gpu_are_no_gpu() -> None:
    assert parse_vulkaninfo(VULKANINFO) == ["Intel(R) Arc(tm) A770", "Intel(R) Iris(R) Xe Graphics"]
