"""The benchmark of resuming: a far leader is far, and what it says is judged."""

import argparse
from pathlib import Path

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from mesh.engine.types import Engine
from mesh.tools.generator import ModelSpec, generate, spec_of_size
from tests.benchmarks.resume import Measured, late, measure, report

OPTIONS = argparse.Namespace(tokens=20, round_trip=20, repeats=2)


def test_answers_are_cut_and_go_on_as_if_undisturbed(engine: Engine, tmp_path: Path) -> None:
    model = generate(tmp_path / "small.gguf", spec_of_size(12 << 20, ModelSpec(4)))[0]
    measured = Measured()
    trio.run(measure, engine, model, tmp_path, OPTIONS, measured)
    assert measured.alike == [True, True]
    assert min(measured.decoding) > 0
    assert min(measured.pauses) > 0.04, "less than the round trips take"


@pytest.mark.parametrize(("pause", "alike", "met"), [(1.4, True, [True, True]), (1.6, False, [False, False])])
def test_a_pause_is_judged_by_the_time_that_the_tokens_took(
    pause: float, alike: bool, met: list[bool]
) -> None:
    judged = report(OPTIONS, Path("m"), Measured([1.0, 1.0, 1.0], [0.1, pause, 9.0], [True, True, alike]))
    assert [goal.met for goal in judged.goals] == met


def test_what_was_not_measured_is_missed() -> None:
    assert not any(goal.met for goal in report(OPTIONS, Path("m"), Measured()).goals)


async def test_bytes_arrive_late_and_not_one_by_one(autojump_clock: MockClock) -> None:
    (here, far), (near, there) = trio.testing.memory_stream_pair(), trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(late, far, near, 0.5)
        began = trio.current_time()
        for piece in (b"a", b"b", b"c"):
            await here.send_all(piece)
            await trio.sleep(0.1)
        came = b""
        while len(came) < 3:
            came += await there.receive_some()
        assert (came, round(trio.current_time() - began, 3)) == (b"abc", 0.7)
        await there.aclose()
        assert await here.receive_some() == b""
