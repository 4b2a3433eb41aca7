"""Both ends of the stream that carries a move request from an owner to the leader."""

import trio

from mesh.member.stay import Stay
from mesh.net.session import Session, StreamError
from mesh.net.stream_kinds import StreamKind
from mesh.wire.errors import MeshError
from mesh.wire.identity import NodeId
from mesh.wire.rights import Rights

ANSWER_SECONDS = 90.0


async def ask_leader(pool: Stay, leader: NodeId, now: bool) -> str:
    """The leader's outcome, in words. MeshError when it refuses or does not answer."""
    try:
        with trio.fail_after(ANSWER_SECONDS):
            session = await pool.machine.streams.open(
                leader, pool.driver.endpoints(leader), StreamKind.MOVE, {"now": now}
            )
            try:
                answer = await session.receive_message()
            finally:
                await session.aclose()
    except (StreamError, trio.TooSlowError, trio.BrokenResourceError) as error:
        raise MeshError(f"the leader does not answer: {error}", "try again in a moment") from error
    reply = answer if isinstance(answer, dict) else {}
    if not isinstance(reply.get("text"), str):
        raise MeshError(
            f"the leader refuses: {reply.get('refused')}", "mesh plan tells where the layers would go"
        )
    return str(reply["text"])


async def handle_move(pool: Stay, session: Session) -> None:
    """Serve a member's move request at the leader; only an owner's is accepted."""
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
