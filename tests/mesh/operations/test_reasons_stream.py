"""Both ends of the stream by which a member learns, whole, why a model is where it is."""

from pathlib import Path
from typing import Any, cast

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from leader.blame.quarantines import LONGEST_WORDS, Exclusion
from leader.placement.cost import DeviceKey
from mesh.member.stay import Stay
from mesh.net.session import Session
from mesh.operations.reasons_stream import (
    MAX_REASONS,
    Reasons,
    handle_reasons,
    leaders_reasons,
    read_reasons,
)
from mesh.wire import codec
from mesh.wire.identity import NodeId
from mesh.wire.profile import MAX_DEVICE_NAME
from mesh.wire.signed_facts import MAX_QUARANTINES
from tests.mesh.operations.homes import FakeHome, FakePool, leading
from tests.mesh.protocol.stage import Stage as Scene

BERT = b"b" * 16
TOLD = Reasons("lost bert", {(BERT, "CPU"): Exclusion(59.0, "its rpc-server ended with SIGABRT")})


class FakeReasonsSession:
    """One end of a stream, which notes what is sent."""

    def __init__(self, peer: NodeId | None) -> None:
        self.peer = peer
        self.sent: list[Any] = []

    async def send_message(self, message: Any) -> None:
        self.sent.append(message)


def pool_of(scene: Scene, folder: Path) -> FakePool:
    return FakeHome(folder, scene).stay


async def told(pool: FakePool, peer: NodeId | None) -> Any:
    session = FakeReasonsSession(peer)
    await handle_reasons(cast(Stay, pool), cast(Session, session))
    (sent,) = session.sent
    return sent


async def test_a_leader_tells_any_member_and_itself(tmp_path: Path) -> None:
    scene = leading(Scene())
    member, pool = scene.member(2), pool_of(scene, tmp_path)
    pool.leading.told = (TOLD.deployment, TOLD.left_out)
    assert read_reasons(await told(pool, member.id)) == TOLD
    assert await leaders_reasons(cast(Stay, pool)) == TOLD
    assert await told(pool, None) == {"refused": "this machine does not lead"}


async def test_who_does_not_lead_tells_nothing(tmp_path: Path) -> None:
    scene = Scene()
    pool = pool_of(scene, tmp_path)
    assert await told(pool, scene.member(2).id) == {"refused": "this machine does not lead"}
    assert await leaders_reasons(cast(Stay, pool)) == Reasons()


async def test_what_is_told_is_bounded_however_much_is_left_out(tmp_path: Path) -> None:
    scene = leading(Scene())
    member, pool = scene.member(2), pool_of(scene, tmp_path)
    many: dict[DeviceKey, Exclusion] = {
        (bytes([number]) * 16, "CPU"): Exclusion(float(number), "\U0001f525" * LONGEST_WORDS)
        for number in range(1, 99)
    }
    pool.leading.told = ("\U0001f525" * 2 * LONGEST_WORDS, many)
    answer = await told(pool, member.id)
    read = read_reasons(answer)
    assert len(read.deployment) == LONGEST_WORDS
    assert sorted(one.seconds for one in read.left_out.values())[0] == 99 - MAX_QUARANTINES
    assert len(read.left_out) == MAX_QUARANTINES
    assert len(codec.pack([answer["deployment"], answer["left_out"]])) + 100 <= MAX_REASONS


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {"refused": "no"},
        {"deployment": 1, "left_out": []},
        {"deployment": "x", "left_out": [[BERT.hex(), "CPU", 1, "x"]] * (MAX_QUARANTINES + 1)},
    ],
)
def test_anything_else_is_no_answer(answer: Any) -> None:
    assert read_reasons(answer) == Reasons()


@pytest.mark.parametrize(
    "row", [None, [], ["zz", "CPU", 1, "x"], [BERT.hex(), "CPU", "1", "x"], [1, 2, 3, 4]]
)
def test_a_row_that_makes_no_sense_is_left_away(row: Any) -> None:
    rows = [row, [BERT.hex(), "CPU", 59, "its rpc-server ended with SIGABRT", "later"]]
    assert read_reasons({"deployment": "lost bert", "left_out": rows}) == TOLD


ROWS = st.lists(
    st.text(max_size=4) | st.integers(-(1 << 63), (1 << 64) - 1) | st.none(), max_size=5
) | st.tuples(
    st.binary(max_size=40).map(bytes.hex), st.text(max_size=40), st.integers(-(1 << 63), 1 << 60), st.text()
).map(list)


@given(rows=st.lists(ROWS, max_size=MAX_QUARANTINES))
def test_whatever_a_leader_says_what_is_read_is_a_device_for_an_hour_at_most(rows: list[Any]) -> None:
    read = read_reasons({"deployment": "x", "left_out": [*rows, [BERT.hex(), "CPU", 1 << 60, "x"]][-16:]})
    assert read.left_out[BERT, "CPU"] == Exclusion(3600.0, "x")
    for (member, name), left_out in read.left_out.items():
        assert len(member) == 16
        assert len(name) <= MAX_DEVICE_NAME
        assert 0 <= left_out.seconds <= 3600


async def test_a_member_that_does_not_listen_holds_nothing_up(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    class Deaf(FakeReasonsSession):
        async def send_message(self, message: Any) -> None:
            await trio.sleep_forever()

    scene = leading(Scene())
    member, pool = scene.member(2), pool_of(scene, tmp_path)
    await handle_reasons(cast(Stay, pool), cast(Session, Deaf(member.id)))
    assert trio.current_time() < 60
