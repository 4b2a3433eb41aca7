from mesh.engine.backends.vulkan import header_version, parse_vulkaninfo
from mesh.engine.detect import detect
from tests.mesh.engine.fake_probes import VULKANINFO, FakeProbes


def machine(version: int | None = 309, place: str = "/usr/include", **programs: str) -> FakeProbes:
    """A machine with a GPU, a compiler for shaders, and headers of this version."""
    probes = FakeProbes(
        {"vulkaninfo": "/vulkaninfo", "glslc": "/glslc", **programs}, {"/vulkaninfo": VULKANINFO}
    )
    if version is not None:
        probes.files[f"{place}/vulkan/vulkan_core.h"] = [f"// 1.3\n#define VK_HEADER_VERSION {version}\n"]
    return probes


def test_a_gpu_is_used_where_it_can_be_built_for() -> None:
    for version in (272, 309):
        backend = detect(machine(version))
        assert (backend.kind, backend.name, backend.flags) == (
            "vulkan",
            "Intel(R) Arc(tm) A770",
            ("-DGGML_VULKAN=ON",),
        )


def test_headers_that_are_too_old_are_noticed_before_minutes_of_building() -> None:
    backend = detect(machine(239))
    assert backend.kind == "cpu"
    assert "Arc(tm) A770, but the Vulkan headers are too old to build for it: version 239" in backend.reason
    assert "VULKAN_SDK" in backend.reason


def test_newer_headers_elsewhere_are_taken_and_given_to_the_build() -> None:
    probes = machine(239)
    probes.files |= machine(309, "/opt/sdk/include").files
    probes.environ = {"VULKAN_SDK": "/opt/sdk"}
    assert detect(probes).flags == ("-DGGML_VULKAN=ON", "-DVulkan_INCLUDE_DIR=/opt/sdk/include")


def test_vulkan_without_the_means_to_build_falls_back_and_says_so() -> None:
    without_glslc = machine()
    del without_glslc.programs["glslc"]
    for probes, why in ((without_glslc, "no glslc"), (machine(None), "no Vulkan headers")):
        backend = detect(probes)
        assert backend.kind == "cpu"
        assert why in backend.reason
        assert "libvulkan-dev" in backend.reason


def test_a_header_without_a_version_is_of_none() -> None:
    assert header_version("#define VK_HEADER_VERSION_COMPLETE 1\n") == 0


def test_processors_that_play_a_gpu_are_no_gpu() -> None:
    assert parse_vulkaninfo(VULKANINFO) == ["Intel(R) Arc(tm) A770", "Intel(R) Iris(R) Xe Graphics"]
