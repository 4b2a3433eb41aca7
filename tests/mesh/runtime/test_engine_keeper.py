"""The engine comes in the background; meanwhile the status shows its progress."""

from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from mesh.engine.install import build
from mesh.engine.types import Backend, Engine, Progress, Report
from mesh.runtime import engine_keeper
from mesh.runtime.change_signal import ChangeSignal
from mesh.runtime.engine_keeper import RETRY_SECONDS, EngineKeeper
from mesh.wire.errors import MeshError

CUDA = Backend("cuda", "NVIDIA H200", "found one")
ENGINE = Engine(Path("/e/llama-server"), Path("/e/rpc-server"), "abc", "7.0.0", "cuda", "built")


class FakeEngines:
    """What detection, the search and the builder find; ``builds`` are done one after the other."""

    def __init__(self) -> None:
        self.present: Engine | None = None
        self.builds: list[Engine | MeshError] = []
        self.tried_at: list[float] = []
        self.during: Callable[[Report], None] = lambda report: None

    def detect(self) -> Backend:
        return CUDA

    async def find_present(self, backend: Backend, cache: Path) -> Engine | None:
        await trio.lowlevel.checkpoint()
        return self.present

    async def ensure(self, backend: Backend, cache: Path, report: Report) -> Engine:
        await trio.lowlevel.checkpoint()
        self.tried_at.append(trio.current_time())
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
    engines.builds = [MeshError("no space is left", "free some"), ENGINE]
    nursery.start_soon(keeper.run)
    while keeper.status()["state"] != "failed":
        await changes.wait(changes.count, 1)
    assert "no space is left" in keeper.status()["reason"]
    await trio.sleep(RETRY_SECONDS + 1)
    assert keeper.engine is ENGINE
    first, second = engines.tried_at
    assert second - first == RETRY_SECONDS
