"""Both ends of the stream by which an owner's move request reaches the leader."""

from pathlib import Path
from typing import Any, cast

import pytest
import trio

from mesh.member.stay import Stay
from mesh.net.session import Session, StreamError
from mesh.operations.move import ask_leader, handle_move
from mesh.wire.errors import MeshError
from mesh.wire.identity import NodeId
from mesh.wire.rights import ALL_RIGHTS, Rights
from tests.mesh.operations.homes import FakeHome, FakePool
from tests.mesh.protocol.stage import Stage as Scene

LEADER = NodeId(b"l" * 16)


class FakeSession:
    """One end of a stream: gives ``answer``, takes what is sent."""

    def __init__(self, answer: Any = None, peer: NodeId | None = None, arguments: Any = None) -> None:
        self.answer, self.peer, self.arguments = answer, peer, arguments
        self.sent: list[Any] = []
        self.closed = False

    async def receive_message(self) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def send_message(self, message: Any) -> None:
        self.sent.append(message)

    async def aclose(self) -> None:
        self.closed = True


@pytest.fixture
def pool(tmp_path: Path) -> FakePool:
    return FakeHome(tmp_path, Scene()).stay


async def ask(pool: FakePool, session: FakeSession | Exception) -> str:
    pool.machine.streams.session = session
    return await ask_leader(cast(Stay, pool), LEADER, True)


async def answer(pool: FakePool, peer: NodeId | None, arguments: Any) -> Any:
    session = FakeSession(peer=peer, arguments=arguments)
    await handle_move(cast(Stay, pool), cast(Session, session))
    (sent,) = session.sent
    return sent


async def test_the_leaders_words_are_handed_on(pool: FakePool) -> None:
    session = FakeSession({"text": "moved to anna"})
    assert await ask(pool, session) == "moved to anna"
    assert session.closed


@pytest.mark.parametrize("told", [{"refused": "only owners"}, {}, [], "moved", {"text": 3}])
async def test_anything_else_that_the_leader_says_is_a_refusal(pool: FakePool, told: Any) -> None:
    session = FakeSession(told)
    with pytest.raises(MeshError, match="the leader refuses"):
        await ask(pool, session)
    assert session.closed


@pytest.mark.parametrize(
    "session", [StreamError("out of reach"), FakeSession(trio.BrokenResourceError("cut")),
                FakeSession(trio.TooSlowError())]
)  # fmt: skip
async def test_a_leader_that_does_not_answer_is_named_as_the_reason(
    pool: FakePool, session: FakeSession | Exception
) -> None:
    with pytest.raises(MeshError, match="the leader does not answer"):
        await ask(pool, session)


@pytest.mark.parametrize(
    ("arguments", "now"), [({"now": True}, True), ({"now": False}, False), ({"now": 1}, False), (None, False)]
)
async def test_an_owner_is_heard(pool: FakePool, arguments: Any, now: bool) -> None:
    assert await answer(pool, pool.node.id, arguments) == {"text": "moved"}
    assert pool.leading.move_requests == [now]


async def test_nobody_else_is_heard(tmp_path: Path) -> None:
    scene = Scene()
    worker = scene.member(2, rights=ALL_RIGHTS & ~Rights.OWN)
    pool = FakeHome(tmp_path, scene).stay
    for peer in (worker.id, LEADER, None):
        assert await answer(pool, peer, {"now": True}) == {"refused": "only owners may move what runs"}
    assert pool.leading.move_requests == []


async def test_a_wish_that_takes_too_long_is_answered(pool: FakePool) -> None:
    pool.leading.answer = trio.TooSlowError()
    told = await answer(pool, pool.node.id, {"now": True})
    assert told == {"refused": "nothing came of it in time"}
