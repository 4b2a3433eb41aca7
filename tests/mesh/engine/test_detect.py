import pytest

from mesh.engine.detect import detect
from mesh.engine.engine_errors import EngineError
from tests.mesh.engine.fake_probes import HEADERS, VULKANINFO, FakeProbes, nvidia


def test_a_machine_without_a_gpu_computes_on_its_cpu_and_says_what_it_looked_for() -> None:
    backend = detect(FakeProbes())
    assert (backend.kind, backend.name, backend.flags) == ("cpu", "AMD EPYC 9654 96-Core", ())
    assert backend.reason == "no nvidia-smi; no /dev/kfd; no vulkaninfo"


def test_an_nvidia_gpu_without_its_compiler_is_used_through_vulkan_where_possible() -> None:
    probes = nvidia(vulkaninfo="/vulkaninfo", glslc="/glslc")
    probes.outputs["/vulkaninfo"] = VULKANINFO
    probes.files |= HEADERS
    backend = detect(probes)
    assert (backend.kind, backend.name, backend.flags) == (
        "vulkan",
        "Intel(R) Arc(tm) A770",
        ("-DGGML_VULKAN=ON",),
    )
    assert "no nvcc" in backend.reason


def test_a_person_may_choose_the_processor() -> None:
    probes = nvidia(nvcc="/nvcc")
    probes.environ = {"MESH_BACKEND": "CPU"}
    backend = detect(probes)
    assert (backend.kind, backend.reason) == ("cpu", "MESH_BACKEND=cpu")


@pytest.mark.parametrize("wanted", ["cuda", "metal", "quantum"])
def test_choosing_what_is_not_there_is_an_error(wanted: str) -> None:
    with pytest.raises(EngineError, match=f"MESH_BACKEND={wanted}"):
        detect(FakeProbes(environ={"MESH_BACKEND": wanted}))


def test_the_real_machine_has_some_backend_with_a_name_and_a_reason() -> None:
    backend = detect()
    assert backend.name
    assert backend.reason
