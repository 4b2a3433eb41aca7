import pytest

from mesh.engine.detect import detect
from tests.mesh.engine.fake_probes import FakeProbes


def mac(processor: str = "arm64", *, tools: bool = True) -> FakeProbes:
    outputs = {"/usr/sbin/sysctl": "Apple M2 Pro\n"} | (
        {"/usr/bin/xcode-select": "/Library"} if tools else {}
    )
    return FakeProbes(outputs=outputs, os="Darwin", processor=processor)


def test_apple_silicon_uses_metal() -> None:
    backend = detect(mac())
    assert (backend.kind, backend.name) == ("metal", "Apple M2 Pro")
    assert "-DGGML_METAL=ON" in backend.flags


@pytest.mark.parametrize(
    ("probes", "why"), [(mac("x86_64"), "Intel Mac"), (mac(tools=False), "xcode-select --install")]
)
def test_other_macs_compute_with_the_processor(probes: FakeProbes, why: str) -> None:
    backend = detect(probes)
    assert (backend.kind, backend.flags) == ("cpu", ("-DGGML_METAL=OFF",))
    assert why in backend.reason
