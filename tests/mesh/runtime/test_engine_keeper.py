"""The engine comes in the background; meanwhile the status shows its progress."""

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from mesh.engine import devices
from mesh.engine.devices import EngineDevice
from mesh.engine.engine_errors import NotFetched
from mesh.engine.install import build
from mesh.engine.types import Backend, Engine, Progress, Report
from mesh.runtime import engine_keeper
from mesh.runtime.change_signal import ChangeSignal
from mesh.runtime.engine_keeper import RETRY_SECONDS, EngineKeeper
from mesh.wire.errors import MeshError

CUDA = Backend("cuda", "NVIDIA H200", "found one")
CPU = Backend("cpu", "EPYC 9654", "nothing else")
CARD = EngineDevice("CUDA0", "cuda", "NVIDIA H200", 141 << 30, 140 << 30)
PROCESSOR = EngineDevice("CPU", "cpu", "EPYC")
ENGINE = Engine(Path("/e/llama-server"), Path("/e/rpc-server"), "abc", "7.0.0", "cuda", "built")


class FakeEngines:
    """What detection, the search and the builder find; ``builds`` are done one after the other."""

    def __init__(self) -> None:
        self.present: Engine | None = None
        self.builds: list[Engine | MeshError] = []
        self.tried_at: list[float] = []
        self.built_for: list[str] = []
        self.during: Callable[[Report], None] = lambda report: None
        self.detected = CUDA
        self.devices: tuple[EngineDevice, ...] | MeshError = (PROCESSOR, CARD)

    def detect(self) -> Backend:
        return self.detected

    async def ask(self, engine: Engine) -> tuple[tuple[EngineDevice, ...], tuple[str, ...]]:
        await trio.lowlevel.checkpoint()
        if isinstance(self.devices, MeshError):
            raise self.devices
        return self.devices, ("BLAS",)

    async def find_present(self, backend: Backend, cache: Path) -> Engine | None:
        await trio.lowlevel.checkpoint()
        return self.present

    async def ensure(self, backend: Backend, cache: Path, report: Report) -> Engine:
        await trio.lowlevel.checkpoint()
        self.tried_at.append(trio.current_time())
        self.built_for.append(backend.kind)
        self.during(report)
        result = self.builds.pop(0)
        if isinstance(result, MeshError):
            raise result
        return result


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> FakeEngines:
    fake = FakeEngines()
    monkeypatch.setattr(engine_keeper, "detect", fake.detect)
    monkeypatch.setattr(engine_keeper, "find_present", fake.find_present)
    monkeypatch.setattr(build, "ensure", fake.ensure)
    monkeypatch.setattr(devices, "ask", fake.ask)
    return fake


@pytest.fixture
def changes() -> ChangeSignal:
    return ChangeSignal()


@pytest.fixture
def keeper(tmp_path: Path, changes: ChangeSignal) -> EngineKeeper:
    return EngineKeeper(tmp_path, changes)


def test_before_it_looked_there_is_none_and_nothing_is_known(keeper: EngineKeeper) -> None:
    assert keeper.engine is None
    assert keeper.status()["state"] == "missing"
    assert keeper.accelerator()["kind"] == "cpu"


async def test_an_engine_that_is_there_is_taken_without_a_build(
    engines: FakeEngines, keeper: EngineKeeper
) -> None:
    engines.present = ENGINE
    await keeper.run()
    assert keeper.engine is ENGINE
    assert keeper.status() == {"state": "ready", "progress": 1.0, "reason": ""}
    assert keeper.accelerator() == {"kind": "cuda", "name": "NVIDIA H200", "reason": "found one"}
    assert engines.tried_at == []


async def test_a_build_is_shown_with_its_progress_and_its_end(
    engines: FakeEngines, keeper: EngineKeeper
) -> None:
    seen = []

    def during(report: Report) -> None:
        for eta in (None, 59.6):
            report(Progress("compile", 0.12345, eta, "compiling"))
            seen.append(keeper.status())

    engines.during = during
    engines.builds = [ENGINE]
    await keeper.run()
    assert [(status["state"], status["progress"], status["reason"]) for status in seen] == [
        ("building", 0.123, "compiling"),
        ("building", 0.123, "compiling, 60 s left"),
    ]
    assert keeper.status()["state"] == "ready"


async def test_a_failed_build_is_shown_and_tried_again_later(
    engines: FakeEngines,
    keeper: EngineKeeper,
    changes: ChangeSignal,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
) -> None:
    engines.detected = CPU
    engines.builds = [MeshError("no space is left", "free some"), ENGINE]
    nursery.start_soon(keeper.run)
    while keeper.status()["state"] != "failed":
        await changes.wait(changes.count, 1)
    assert "no space is left" in keeper.status()["reason"]
    await trio.sleep(RETRY_SECONDS + 1)
    assert keeper.engine is ENGINE
    first, second = engines.tried_at
    assert second - first == RETRY_SECONDS


async def test_its_devices_are_known_before_the_engine_counts_as_there(
    engines: FakeEngines, keeper: EngineKeeper, caplog: pytest.LogCaptureFixture
) -> None:
    engines.present = ENGINE
    with caplog.at_level(logging.INFO):
        await keeper.run()
    assert keeper.devices == (CARD, PROCESSOR), "the GPUs come first"
    assert keeper.problems == ()
    assert caplog.text.count("BLAS") == 1


async def test_the_accelerator_is_the_first_device_with_how_many_are_like_it(
    engines: FakeEngines, keeper: EngineKeeper
) -> None:
    engines.present = ENGINE
    engines.devices = (CARD, dataclasses.replace(CARD, name="CUDA1"), PROCESSOR)
    await keeper.run()
    assert keeper.accelerator()["name"] == "2 x NVIDIA H200"
    keeper.devices = (PROCESSOR,)  # as where CUDA_VISIBLE_DEVICES hides the cards
    assert keeper.accelerator() == {"kind": "cpu", "name": "EPYC", "reason": "found one"}
    keeper.backend = CPU
    assert keeper.accelerator()["name"] == "EPYC 9654"


async def test_an_engine_that_tells_no_devices_lends_its_processor_and_says_why(
    engines: FakeEngines, keeper: EngineKeeper
) -> None:
    engines.present, engines.devices = ENGINE, MeshError("its driver hangs", "look at it")
    await keeper.run()
    assert [device.name for device in keeper.devices] == ["CPU"]
    assert keeper.engine is ENGINE
    (problem,) = keeper.problems
    assert problem["code"] == "devices_unknown"
    assert "its driver hangs" in problem["message"]


async def test_where_no_accelerator_can_be_built_for_the_processor_computes(
    engines: FakeEngines, keeper: EngineKeeper
) -> None:
    engines.builds = [MeshError("headers are too old", "get newer ones"), ENGINE]
    engines.devices = (PROCESSOR,)
    await keeper.run()
    assert engines.built_for == ["cuda", "cpu"]
    assert keeper.status()["state"] == "ready"
    assert keeper.backend.kind == "cpu"
    assert keeper.accelerator()["reason"] == "NVIDIA H200 lies idle: headers are too old"
    (problem,) = keeper.problems
    assert problem["code"] == "accelerator_idle"
    assert "NVIDIA H200 lies idle" in problem["message"]
    assert "headers are too old" in problem["message"]
    assert problem["hint"] == "get newer ones; then: mesh restart"


async def test_without_a_network_no_accelerator_is_given_up(
    engines: FakeEngines, keeper: EngineKeeper, autojump_clock: MockClock
) -> None:
    engines.builds = [NotFetched("the package index does not answer"), ENGINE]
    await keeper.run()
    assert engines.built_for == ["cuda", "cuda"]
    assert keeper.problems == ()


async def test_what_keeps_both_builds_from_going_is_told_as_the_first_ones_failure(
    engines: FakeEngines,
    keeper: EngineKeeper,
    changes: ChangeSignal,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
) -> None:
    engines.builds = [MeshError("no nvcc that works"), MeshError("no compiler either"), ENGINE]
    nursery.start_soon(keeper.run)
    while keeper.status()["state"] != "failed":
        await changes.wait(changes.count, 1)
    assert keeper.status()["reason"] == "no nvcc that works"
    assert keeper.backend is CUDA
    await trio.sleep(RETRY_SECONDS + 1)
    assert engines.built_for == ["cuda", "cpu", "cuda"]
    assert (keeper.engine, keeper.problems) == (ENGINE, ())
