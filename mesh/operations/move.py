"""The wish for the best placement: from the command line to the leader, wherever it is."""

from collections.abc import Callable, Mapping
from typing import Any

import trio

from mesh.control.control_server import Emit, Handler
from mesh.control.operations import MoveResult
from mesh.member.stay import Pool
from mesh.net.session import Session, StreamError
from mesh.wire.errors import MeshError
from mesh.wire.identity import NodeId
from mesh.wire.rights import Rights

MOVE = "move"
"""The kind of stream: its argument is ``{"now": bool}``, its only message ``{"text"}`` or ``{"refused"}``."""
ANSWER_SECONDS = 90.0


class Moving:
    """Answers for one sidecar; ``pool`` gives the pool that it is in, or raises NotJoined."""

    def __init__(self, pool: Callable[[], Pool]) -> None:
        self._pool = pool

    def operations(self) -> Mapping[str, Handler]:
        return {"move": self.move}

    async def move(self, args: dict[str, Any], emit: Emit) -> Mapping[str, Any]:
        pool, now = self._pool(), bool(args["now"])
        node = pool.node
        if Rights.OWN not in node.rights(node.id):
            raise MeshError(
                "this machine may not move what runs: it is no owner of the pool",
                "ask an owner: mesh move there",
            )
        claim = node.leader()
        if claim is None:
            raise MeshError("the pool has no leader at present", "try again in a moment")
        text = await (pool.leading.move(now) if claim.author == node.id else _ask(pool, claim.author, now))
        result: MoveResult = {"text": text}
        return result


async def _ask(pool: Pool, leader: NodeId, now: bool) -> str:
    try:
        with trio.fail_after(ANSWER_SECONDS):
            session = await pool.machine.streams.open(
                leader, pool.driver.endpoints(leader), MOVE, {"now": now}
            )
            try:
                answer = await session.receive_message()
            finally:
                await session.aclose()
    except (StreamError, trio.TooSlowError, trio.BrokenResourceError) as error:
        raise MeshError(f"the leader does not answer: {error}", "try again in a moment") from error
    told = answer if isinstance(answer, dict) else {}
    if not isinstance(told.get("text"), str):
        raise MeshError(f"the leader refuses: {told.get('refused')}")
    return str(told["text"])


async def handle_move(pool: Pool, session: Session) -> None:
    """A member's wish, at the leader: only an owner's is heard."""
    node, peer = pool.node, session.peer
    if peer is None or Rights.OWN not in node.rights(NodeId(peer)):
        await session.send_message({"refused": "only owners may move what runs"})
        return
    arguments = session.arguments if isinstance(session.arguments, dict) else {}
    try:
        text = await pool.leading.move(arguments.get("now") is True)
    except trio.TooSlowError:
        await session.send_message({"refused": "nothing came of it in time"})
        return
    await session.send_message({"text": text})
