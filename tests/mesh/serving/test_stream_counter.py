"""Answers are counted from the first byte to the last, however they end."""

import trio
from trio.testing import memory_stream_pair

from mesh.serving.stream_counter import Answers


async def test_open_streams_are_counted_and_the_last_one_rings_the_bell() -> None:
    rung: list[int] = []
    answers = Answers(lambda: rung.append(answers.count))
    streams = [memory_stream_pair() for _ in range(2)]
    tracked = [answers.track(near) for near, _ in streams]
    assert answers.count == 2
    await trio.aclose_forcefully(tracked[0])
    assert (answers.count, rung) == (1, [])
    await tracked[1].aclose()
    await tracked[1].aclose()
    assert (answers.count, rung) == (0, [0])
