from mesh.engine.backends.rocm import parse_rocminfo
from mesh.engine.detect import detect
from tests.mesh.engine.fake_probes import FakeProbes

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


def test_an_amd_gpu_with_its_compiler_is_used() -> None:
    backend = detect(
        FakeProbes(
            {"rocminfo": "/rocminfo", "hipcc": "/hipcc"},
            {"/rocminfo": ROCMINFO},
            {"/dev/kfd", "/opt/rocm/llvm/bin/clang++"},
        )
    )
    assert (backend.kind, backend.name) == ("rocm", "AMD Radeon RX 7900 XTX")
    assert "-DGGML_HIP=ON" in backend.flags
    assert "-DGPU_TARGETS=gfx1100" in backend.flags


def test_an_amd_gpu_without_a_compiler_falls_back_and_says_so() -> None:
    backend = detect(FakeProbes({"rocminfo": "/rocminfo"}, {"/rocminfo": ROCMINFO}, {"/dev/kfd"}))
    assert backend.kind == "cpu"
    assert "AMD Radeon RX 7900 XTX, but no hipcc" in backend.reason


def test_rocminfo_lists_processors_too() -> None:
    assert parse_rocminfo(ROCMINFO) == [("AMD Radeon RX 7900 XTX", "gfx1100")]
    assert parse_rocminfo("") == []
