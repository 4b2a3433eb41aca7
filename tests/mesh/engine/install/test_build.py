"""The way to an engine, with a CMake project of six steps in llama.cpp's place."""

import os
import signal
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
import trio

from mesh.engine.engine_errors import CorruptDownload, EngineError
from mesh.engine.install import pins
from mesh.engine.install.build import Builder, ensure
from mesh.engine.install.build_progress import Course
from mesh.engine.install.cache import find_built
from mesh.engine.process.rpc_port import free_port
from mesh.engine.types import Backend, Engine, Progress
from tests.mesh.engine.install.fake_index import FakeIndex, make_tar, make_wheel, sha256
from tests.mesh.engine.process.processes import start_python
from tests.waiting import until

CPU = Backend("cpu", "x", "no GPU")

CMAKE = """
cmake_minimum_required(VERSION 3.18)
project(fake NONE)
file(WRITE ${CMAKE_BINARY_DIR}/flags.txt "${CMAKE_CXX_COMPILER} ${GGML_RPC} ${GGML_TEST}")
set(previous)
foreach(step 1 2 3 4)
    set(output ${CMAKE_BINARY_DIR}/step${step})
    add_custom_command(OUTPUT ${output} COMMAND sh ${CMAKE_SOURCE_DIR}/step.sh step${step}
        DEPENDS ${previous})
    set(previous ${output})
endforeach()
foreach(name llama-server ggml-rpc-server)
    set(output ${CMAKE_BINARY_DIR}/bin/${name})
    add_custom_command(OUTPUT ${output} COMMAND sh ${CMAKE_SOURCE_DIR}/step.sh bin/${name}
        DEPENDS ${previous})
    add_custom_target(${name} DEPENDS ${output})
endforeach()
"""
STEP = """
set -e
echo "$1" >> "$MESH_TEST_NOTES/steps"
test "$1" != step3 || while test -e "$MESH_TEST_NOTES/hold"; do sleep 0.01; done
test ! -e "$MESH_TEST_NOTES/break" || { echo "a.cpp:1: error: no such thing"; exit 1; }
mkdir -p bin
echo "#!/bin/sh" > "$1"
chmod +x "$1"
"""
ZIG = "#!/bin/sh\nexec true\n"


@dataclass
class World:
    """Where a test builds, and what was seen of it."""

    cache: Path
    notes: Path
    told: list[Progress] = field(default_factory=list)

    @property
    def steps(self) -> list[str]:
        """The steps that were run, in order."""
        return (self.notes / "steps").read_text().split() if (self.notes / "steps").exists() else []

    async def build(
        self, backend: Backend = CPU, free: int = 10**12, told: list[Progress] | None = None
    ) -> Engine:
        report = self.told if told is None else told
        with trio.fail_after(60):
            return await Builder(
                backend, self.cache, Course(report.append, 2), inspect=inspect, free=lambda directory: free
            ).build()


async def inspect(llama: Path, rpc: Path, origin: Literal["installed", "built"]) -> Engine:
    assert os.access(llama, os.X_OK)
    assert os.access(rpc, os.X_OK)
    return Engine(llama, rpc, pins.COMMIT, pins.RPC_VERSION, "cpu", origin)


@pytest.fixture
def world(index: FakeIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    sdist = make_tar({f"{pins.SOURCE_PREFIX}/CMakeLists.txt": CMAKE, f"{pins.SOURCE_PREFIX}/step.sh": STEP})
    wheel = make_wheel({"ziglang/zig": (ZIG, 0o100755)})
    index.files = {
        pins.SDIST_PROJECT: {pins.SDIST_NAME: sdist, "llama_cpp_python-0.0.1.tar.gz": b"older"},
        pins.ZIG_PROJECT: {
            f"ziglang-{pins.ZIG_VERSION}-py3-none-{platform}.whl": wheel
            for platform in (
                "manylinux_2_12_x86_64.manylinux2010_x86_64",
                "manylinux_2_17_aarch64.manylinux2014_aarch64",
                "macosx_11_0_arm64",
                "macosx_12_0_x86_64",
            )
        },
    }
    monkeypatch.setattr(pins, "SDIST_SHA256", sha256(sdist))
    monkeypatch.setattr(pins, "SDIST_SIZE", len(sdist))
    notes = tmp_path / "notes"
    notes.mkdir()
    monkeypatch.setenv("MESH_TEST_NOTES", str(notes))
    yield World(tmp_path / "cache", notes)
    (notes / "hold").unlink(missing_ok=True)


async def test_an_engine_is_built_cached_and_found_again(world: World, index: FakeIndex) -> None:
    engine = await world.build()
    assert engine.llama_server.is_relative_to(world.cache / "engine")
    assert world.steps[:4] == ["step1", "step2", "step3", "step4"]
    assert sorted(world.steps[4:]) == ["bin/ggml-rpc-server", "bin/llama-server"]
    assert find_built(world.cache, "cpu", ()) == engine
    assert sorted(path.name for path in engine.llama_server.parent.iterdir()) == [
        "build.log",
        "engine.json",
        "ggml-rpc-server",
        "llama-server",
    ]
    assert await world.build() == engine
    assert len(world.steps) == 6
    assert len(index.requests) == 1


async def test_progress_only_rises_and_names_each_stage(world: World) -> None:
    await world.build()
    fractions = [progress.fraction for progress in world.told]
    assert fractions == sorted(fractions)
    stages = list(dict.fromkeys(progress.stage for progress in world.told))
    assert [stage for stage in stages if stage != "download"] == [
        "compiler",
        "unpack",
        "configure",
        "compile",
        "check",
    ]
    compiled = [progress for progress in world.told if progress.stage == "compile"]
    assert compiled[-1].text == "compiling: 6 of 6"
    assert compiled[-1].eta_seconds == 0


async def test_an_interrupted_build_goes_on_where_it_was(world: World, index: FakeIndex) -> None:
    (world.notes / "hold").touch()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.build)
        with trio.fail_after(30):
            await until(lambda: "step3" in world.steps)
        nursery.cancel_scope.cancel()
    (world.notes / "hold").unlink()
    world.told.clear()
    await world.build()
    assert world.steps[:5] == ["step1", "step2", "step3", "step3", "step4"]
    assert len(index.requests) == 1
    compiled = [progress.text for progress in world.told if progress.stage == "compile"]
    assert compiled[0] == "compiling: 3 of 6"


BUILDER = """
import sys, trio
from pathlib import Path
from mesh.engine.install import pins
from mesh.engine.install.build import Builder
from mesh.engine.install.build_progress import Course
from mesh.engine.types import Backend
pins.SDIST_SHA256, pins.SDIST_SIZE = sys.argv[2], int(sys.argv[3])
trio.run(Builder(Backend("cpu", "x", "no GPU"), Path(sys.argv[1]), Course(lambda progress: None, 2)).build)
"""


async def test_a_build_whose_process_is_killed_goes_on_in_the_next(world: World) -> None:
    (world.notes / "hold").touch()
    process = start_python(BUILDER, str(world.cache), pins.SDIST_SHA256, str(pins.SDIST_SIZE))
    assert process.stdout is not None
    with process, process.stdout:
        with trio.fail_after(30):
            await until(lambda: "step3" in world.steps)
        process.send_signal(signal.SIGKILL)
    (world.notes / "hold").unlink()
    await world.build()
    assert world.steps.count("step1") == world.steps.count("step2") == 1


async def test_of_two_builds_at_once_one_works_and_the_other_waits_and_sees_it(
    world: World,
) -> None:
    (world.notes / "hold").touch()
    engines: list[Engine] = []
    waiting: list[Progress] = []

    async def build(told: list[Progress]) -> None:
        engines.append(await world.build(told=told))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(build, world.told)
        with trio.fail_after(30):
            await until(lambda: "step3" in world.steps)
            nursery.start_soon(build, waiting)
            await until(lambda: any(progress.stage == "waiting" for progress in waiting))
        (world.notes / "hold").unlink()
    assert engines[0] == engines[1]
    assert len(world.steps) == 6
    seen = next(progress for progress in waiting if progress.stage == "waiting")
    assert f"process {os.getpid()} is at it already" in seen.text
    assert seen.fraction > 0


async def test_backends_are_built_apart(world: World) -> None:
    gpu = Backend("vulkan", "y", "", ("-DGGML_TEST=fast",))
    first, second = await world.build(), await world.build(gpu)
    assert first.llama_server.parent != second.llama_server.parent
    assert "vulkan" in second.llama_server.parent.name


async def test_without_a_compiler_zig_is_fetched_and_used(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hide_compilers(monkeypatch, tmp_path)
    engine = await world.build()
    tools = world.cache / "zig" / f"{pins.ZIG_VERSION}-tools"
    for tool in ("cc", "c++", "ar", "ranlib"):
        assert (tools / tool).stat().st_mode & stat.S_IXUSR
        assert f" {tool} " in (tools / tool).read_text()
    assert "zig" in (engine.llama_server.parent / "engine.json").read_text()
    assert any("a C++ compiler (no gcc" in progress.text for progress in world.told)


async def test_without_a_compiler_a_gpu_build_says_what_to_install(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hide_compilers(monkeypatch, tmp_path)
    with pytest.raises(EngineError, match="needs the machine's own C") as caught:
        await world.build(Backend("cuda", "H200", "", ("-DGGML_CUDA=ON",)))
    assert "apt-get install g++" in caught.value.hint


def hide_compilers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "mkdir", "chmod", "sleep", "cat"):
        real = next(Path(place) / name for place in ("/bin", "/usr/bin") if (Path(place) / name).exists())
        (tools / name).symlink_to(real)
    monkeypatch.setenv("PATH", str(tools))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.delenv("CXX", raising=False)


async def test_a_corrupted_source_is_refused_and_a_good_one_asked_for(world: World, index: FakeIndex) -> None:
    index.corrupt = True
    with pytest.raises(CorruptDownload) as caught:
        await world.build()
    assert str(world.cache / "downloads" / pins.SDIST_NAME) in caught.value.hint
    index.corrupt = False
    await world.build()


async def test_a_source_put_into_the_cache_by_hand_needs_no_network(
    world: World, index: FakeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    (world.cache / "downloads").mkdir(parents=True)
    (world.cache / "downloads" / pins.SDIST_NAME).write_bytes(
        index.files[pins.SDIST_PROJECT][pins.SDIST_NAME]
    )
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{free_port()}/simple")
    await world.build()
    assert index.requests == []


async def test_no_network_is_an_error_with_ways_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{free_port()}/simple")
    with pytest.raises(EngineError, match="source cannot be fetched") as caught:
        await world.build()
    for way in ("HTTPS_PROXY", str(world.cache / "downloads" / pins.SDIST_NAME), "MESH_LLAMA_DIR"):
        assert way in caught.value.hint


async def test_an_index_without_the_pinned_version_is_an_error(world: World, index: FakeIndex) -> None:
    del index.files[pins.SDIST_PROJECT][pins.SDIST_NAME]
    with pytest.raises(EngineError, match=r"has no llama_cpp_python-0\.3\.36"):
        await world.build()


async def test_a_full_disk_is_an_error_before_anything_is_fetched(world: World, index: FakeIndex) -> None:
    with pytest.raises(EngineError, match=r"needs 0\.5 GB of disk") as caught:
        await world.build(free=499_000_000)
    assert "MESH_CACHE_DIR" in caught.value.hint
    assert index.requests == []


async def test_a_cache_that_cannot_be_written_is_an_error(world: World) -> None:
    world.cache.write_text("a file is in the way")
    with pytest.raises(EngineError, match="cannot be") as caught:
        await world.build()
    assert "MESH_CACHE_DIR" in caught.value.hint


async def test_a_failed_compilation_names_the_error_and_the_log_and_can_be_tried_again(world: World) -> None:
    (world.notes / "break").touch()
    with pytest.raises(EngineError, match=r"compiling llama\.cpp failed: .*error: no such thing") as caught:
        await world.build()
    assert "build.log" in caught.value.hint
    (world.notes / "break").unlink()
    await world.build()


async def test_an_engine_whose_file_was_damaged_is_built_again(world: World) -> None:
    engine = await world.build()
    engine.rpc_server.write_text("")
    assert find_built(world.cache, "cpu", ()) is None
    assert await world.build() == engine
    assert engine.rpc_server.read_text() == "#!/bin/sh\n"


async def test_ensure_uses_the_cache_and_says_ready(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    built = await world.build()
    monkeypatch.delenv("MESH_LLAMA_DIR", raising=False)
    monkeypatch.setattr("mesh.engine.install.installed.find_installed", nothing_installed)
    told: list[Progress] = []
    assert await ensure(CPU, world.cache, told.append) == built
    assert (told[-1].stage, told[-1].fraction) == ("ready", 1.0)


async def nothing_installed() -> None:
    await trio.lowlevel.checkpoint()


@pytest.mark.parametrize(("installed", "used"), [("cpu", True), ("vulkan", False)])
async def test_ensure_takes_an_installed_pair_only_if_it_is_for_this_backend(
    world: World, monkeypatch: pytest.MonkeyPatch, installed: str, used: bool
) -> None:
    there = Engine(Path("/opt/llama-server"), Path("/opt/rpc-server"), "abc", "7.0.0", installed, "installed")

    async def find() -> Engine:
        await trio.lowlevel.checkpoint()
        return there

    monkeypatch.delenv("MESH_LLAMA_DIR", raising=False)
    monkeypatch.setattr("mesh.engine.install.installed.find_installed", find)
    built = await world.build()
    assert await ensure(CPU, world.cache, lambda progress: None) == (there if used else built)
