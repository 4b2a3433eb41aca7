"""What a build for each kind of accelerator would run, on machines that are made up."""

import json
import re
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from mesh.engine.detect import detect
from mesh.engine.install import build, compile, pins
from mesh.engine.install.build import Builder
from mesh.engine.install.build_progress import Course
from mesh.engine.install.cache import cache_dir
from mesh.engine.install.llama_source import fetch_sdist
from mesh.engine.install.toolchain import Toolchain
from mesh.engine.types import Engine
from tests.mesh.engine.backends.test_metal import mac
from tests.mesh.engine.backends.test_rocm import ROCMINFO
from tests.mesh.engine.fake_probes import VULKANINFO, FakeProbes, nvidia

TOOL = f"""#!{sys.executable}
import json, os, pathlib, sys
name, arguments = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
with open(pathlib.Path(sys.argv[0]).with_name("calls"), "a") as calls:
    print(json.dumps([name, *arguments]), file=calls)
folder = pathlib.Path(arguments[arguments.index("-C" if name == "ninja" else "-B") + 1])
if name == "cmake":
    (folder / "build.ninja").touch()
else:
    (folder / "bin").mkdir()
    for program in arguments[-2:]:
        (folder / "bin" / program).touch()
"""


@dataclass(frozen=True)
class Case:
    """A machine, and what is compiled for it."""

    machine: FakeProbes
    kind: str
    flags: tuple[str, ...]


def vulkan_machine(headers: str, **environ: str) -> FakeProbes:
    """A machine with a card that Vulkan alone knows, and new headers in that folder."""
    return FakeProbes(
        {"vulkaninfo": "/vulkaninfo", "glslc": "/glslc"},
        {"/vulkaninfo": VULKANINFO},
        files={
            "/proc/cpuinfo": ["model name : x\n"],
            f"{headers}/vulkan/vulkan_core.h": ["#define VK_HEADER_VERSION 309\n"],
        },
        environ=environ,
    )


TWO_CARDS = "NVIDIA RTX A6000, 49140, 8.6\nNVIDIA L4, 23034, 8.9\n"
CASES = {
    "two cards of NVIDIA's": Case(
        nvidia(TWO_CARDS, nvcc="/opt/cuda/bin/nvcc"),
        "cuda",
        (
            "-DGGML_CUDA=ON",
            "-DCMAKE_CUDA_COMPILER=/opt/cuda/bin/nvcc",
            "-DCMAKE_CUDA_ARCHITECTURES=86;89",
        ),
    ),
    "a card that tells no architecture": Case(
        nvidia("GB10, [N/A], [N/A]\n", nvcc="/nvcc"),
        "cuda",
        ("-DGGML_CUDA=ON", "-DCMAKE_CUDA_COMPILER=/nvcc"),
    ),
    "a card of AMD's": Case(
        FakeProbes(
            {"rocminfo": "/rocminfo", "hipcc": "/hipcc"},
            {"/rocminfo": ROCMINFO},
            {"/dev/kfd", "/opt/rocm/llvm/bin/clang++"},
        ),
        "rocm",
        (
            "-DGGML_HIP=ON",
            "-DGPU_TARGETS=gfx1100",
            "-DCMAKE_PREFIX_PATH=/opt/rocm",
            "-DCMAKE_HIP_COMPILER=/opt/rocm/llvm/bin/clang++",
        ),
    ),
    "a card that Vulkan alone knows": Case(vulkan_machine("/usr/include"), "vulkan", ("-DGGML_VULKAN=ON",)),
    "the same, and headers of their own": Case(
        vulkan_machine("/sdk/include", VULKAN_SDK="/sdk"),
        "vulkan",
        ("-DGGML_VULKAN=ON", "-DVulkan_INCLUDE_DIR=/sdk/include"),
    ),
    "a Mac of Apple's": Case(mac(), "metal", ("-DGGML_METAL=ON", "-DGGML_METAL_EMBED_LIBRARY=ON")),
    "a Mac of Intel's": Case(mac("x86_64"), "cpu", ("-DGGML_METAL=OFF",)),
    "a machine without a GPU": Case(FakeProbes(), "cpu", ()),
}


CMAKES_OWN = ("CMAKE_", "BUILD_SHARED_LIBS", "Vulkan_INCLUDE_DIR")
"""What CMake and its own modules read."""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[list[str]]]:
    """The commands that builds have run since: cmake's and ninja's, which only note them."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("cmake", "ninja"):
        (tools / name).write_text(TOOL)
        (tools / name).chmod(0o755)
    monkeypatch.setattr(compile, "tool", lambda name: str(tools / name))

    async def no_source(*_: object) -> Path:
        return tmp_path

    async def compiler(*_: object) -> Toolchain:
        return Toolchain("g++ 12", ("-DCMAKE_C_COMPILER=/gcc", "-DCMAKE_CXX_COMPILER=/g++"))

    monkeypatch.setattr(build, "find_compiler", compiler)
    monkeypatch.setattr(build, "fetch_sdist", no_source)
    monkeypatch.setattr(build, "unpack_source", no_source)
    return lambda: [json.loads(line) for line in (tools / "calls").read_text().splitlines()]


async def inspect(llama: Path, rpc: Path, origin: Literal["installed", "built"]) -> Engine:
    return Engine(llama, rpc, pins.COMMIT, pins.RPC_VERSION, "x", origin)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_a_build_is_configured_for_what_the_machine_has(
    case: Case, calls: Callable[[], list[list[str]]], tmp_path: Path
) -> None:
    backend = detect(case.machine)
    assert backend.kind == case.kind, backend.reason
    course = Course(lambda progress: None, 2)
    engine = await Builder(backend, tmp_path / "cache", course, inspect=inspect).build()

    configured, compiled = calls()
    given = [word for word in configured if word.startswith("-D")]
    assert [word for word in given if word in pins.BUILD_FLAGS] == list(pins.BUILD_FLAGS)
    assert given[given.index(pins.BUILD_FLAGS[-1]) + 1 :] == list(case.flags)
    assert compiled[-2:] == ["ggml-rpc-server", "llama-server"]
    assert f"-{case.kind}-" in engine.llama_server.parent.name


@pytest.mark.usefixtures("engine")
async def test_every_flag_is_one_that_the_pinned_source_knows() -> None:
    """CMake takes a misspelt flag in silence, and builds for the processor."""
    sdist = await fetch_sdist(cache_dir(), lambda done, total: None)
    source = ""
    with tarfile.open(sdist, "r|gz") as files:
        for file in files:
            if re.search(r"/vendor/llama\.cpp/(|ggml/.*|common/|tools/.*)CMakeLists\.txt$", file.name):
                content = files.extractfile(file)
                assert content is not None
                source += content.read().decode()
    for flag in (*pins.BUILD_FLAGS, *(flag for case in CASES.values() for flag in case.flags)):
        name = flag.removeprefix("-D").partition("=")[0]
        assert name.startswith(CMAKES_OWN) or re.search(rf"\b{name}\b", source), flag
