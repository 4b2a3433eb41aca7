"""Both ends of the stream by which a member learns who asked the leader how much."""

from pathlib import Path
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock

from leader.door.askers.usage import Usage
from mesh.member.stay import Stay
from mesh.net.session import Session, StreamError
from mesh.operations.usage_stream import MAX_ANSWER, handle_usage, leaders_counts, read_rows
from mesh.wire.identity import NodeId, id_text
from mesh.wire.rights import ALL_RIGHTS, Rights
from tests.mesh.operations.homes import FakeHome, FakePool, admitted, leading
from tests.mesh.protocol.stage import Stage as Scene

COUNTS = Usage(9, 1, 0, 3, 100, 50, 1000, 2000, 2, 40)


class FakeUsageSession:
    """One end of a stream: gives ``answer``, takes what is sent."""

    def __init__(self, answer: Any = None, peer: NodeId | None = None) -> None:
        self.answer, self.peer = answer, peer
        self.sent: list[Any] = []
        self.closed = False

    async def receive_message(self, limit: int) -> Any:
        assert limit == MAX_ANSWER
        if self.answer is None:
            await trio.sleep_forever()
        return self.answer

    async def send_message(self, message: Any) -> None:
        self.sent.append(message)

    async def aclose(self) -> None:
        self.closed = True


def pool_of(scene: Scene, folder: Path) -> FakePool:
    return FakeHome(folder, scene).stay


async def told(pool: FakePool, peer: NodeId | None) -> Any:
    session = FakeUsageSession(peer=peer)
    await handle_usage(cast(Stay, pool), cast(Session, session))
    (sent,) = session.sent
    return sent


async def counts_of(pool: FakePool) -> dict[str, Usage] | None:
    return await leaders_counts(cast(Stay, pool))


async def test_a_leader_tells_an_owner_all_and_others_their_own(tmp_path: Path) -> None:
    scene = leading(Scene())
    owner, worker = scene.member(2), scene.member(3, rights=ALL_RIGHTS & ~Rights.OWN)
    pool = pool_of(scene, tmp_path)
    ids = [id_text(one) for one in (scene.node.id, owner.id, worker.id)]
    pool.leading.counts = dict.fromkeys(ids, COUNTS)
    assert await told(pool, owner.id) == {"counts": [[id, *COUNTS] for id in ids]}
    assert await told(pool, worker.id) == {"counts": [[id_text(worker.id), *COUNTS]]}
    assert await told(pool, None) == {"refused": "this machine does not lead"}
    assert await counts_of(pool) == pool.leading.counts


async def test_who_was_evicted_is_told_of_no_more(tmp_path: Path) -> None:
    scene = leading(Scene())
    gone, pool = scene.member(2, rights=Rights.WORK), pool_of(scene, tmp_path)
    pool.leading.counts = {id_text(gone.id): COUNTS}
    assert await counts_of(pool) == pool.leading.counts
    scene.node.evict(scene.now, gone.id)
    assert await counts_of(pool) == {}


async def test_who_does_not_lead_tells_nothing(tmp_path: Path) -> None:
    scene = Scene()
    owner, pool = scene.member(2), pool_of(scene, tmp_path)
    assert await told(pool, owner.id) == {"refused": "this machine does not lead"}
    assert await counts_of(pool) is None
    assert pool.machine.streams.opened == []


@pytest.fixture
def follower(tmp_path: Path) -> FakePool:
    """A node in a pool that another leads."""
    scene = admitted(ALL_RIGHTS)
    pool = pool_of(scene, tmp_path)
    leader = type("Claimed", (), {"author": NodeId(b"l" * 16)})()
    pool.node = cast(Any, type("Followed", (), {"id": scene.node.id, "leader": lambda _: leader})())
    return pool


async def test_another_leader_is_asked(follower: FakePool) -> None:
    session = FakeUsageSession({"counts": [[id_text(b"b" * 16), *COUNTS]]})
    follower.machine.streams.session = session
    assert await counts_of(follower) == {id_text(b"b" * 16): COUNTS}
    assert follower.machine.streams.opened == [(b"l" * 16, "usage", {})]
    assert session.closed


@pytest.mark.parametrize("session", [FakeUsageSession(), StreamError("out of reach")])
async def test_a_leader_that_does_not_answer_is_not_waited_for(
    autojump_clock: MockClock, follower: FakePool, session: Any
) -> None:
    follower.machine.streams.session = session
    assert await counts_of(follower) is None
    assert trio.current_time() <= 1.0


ROW = [id_text(b"b" * 16), *COUNTS]


@pytest.mark.parametrize(
    "answer",
    [
        None, [], {"refused": "no"}, {"counts": {}}, {"counts": [ROW[:-1]]}, {"counts": [["b", *COUNTS]]},
        {"counts": [[3, *COUNTS]]}, {"counts": [[*ROW[:-1], -1]]}, {"counts": [[*ROW[:-1], True]]},
        {"counts": [ROW] * 4097},
    ],
)  # fmt: skip
def test_what_is_no_answer_counts_as_none(answer: Any) -> None:
    assert read_rows(answer) is None


def test_a_row_that_a_later_version_made_longer_is_read() -> None:
    assert read_rows({"counts": [[*ROW, 7, "more"]]}) == {ROW[0]: COUNTS}


async def test_the_counts_of_as_many_members_as_there_may_be_fit_an_answer(tmp_path: Path) -> None:
    import msgpack

    rows = [[id_text(number.to_bytes(16, "big")), *[1 << 40] * len(COUNTS)] for number in range(4096)]
    assert len(msgpack.packb({"counts": rows})) < MAX_ANSWER
