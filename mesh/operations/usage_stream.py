"""Both ends of the stream by which a member learns from the leader who has asked it how much.

An owner is told of all members, any other of itself alone. Each row is the member's id and its counts in the
order of `leader.door.askers.usage.Usage`; later versions may append to it.
"""

from contextlib import suppress
from typing import Any, Final

import trio

from leader.door.askers.accounts import MAX_ACCOUNTS
from leader.door.askers.usage import Usage
from mesh.member.stay import Stay
from mesh.net.session import Session, StreamError
from mesh.net.stream_kinds import StreamKind
from mesh.wire.errors import DecodeError, MeshError
from mesh.wire.identity import NodeId, id_text, parse_id
from mesh.wire.rights import Rights

ANSWER_SECONDS: Final = 1.0
SEND_SECONDS: Final = 5.0
"""For an answer to leave."""
MAX_ANSWER: Final = 1 << 20


async def leaders_counts(pool: Stay) -> dict[str, Usage] | None:
    """What the leader tells this node, by id; None where nobody leads, or does not answer in time."""
    claim = pool.node.leader()
    if claim is None:
        return None
    if claim.author == pool.node.id:
        return visible(pool, pool.node.id)
    return read_rows(await answer_of(pool, claim.author, StreamKind.USAGE, MAX_ANSWER))


async def answer_of(pool: Stay, leader: NodeId, kind: StreamKind, most: int) -> Any:
    """What the leader says on such a stream, ``most`` bytes of it; None where it says nothing in time."""
    answer = None
    with suppress(StreamError, DecodeError, trio.BrokenResourceError), trio.move_on_after(ANSWER_SECONDS):
        session = await pool.machine.streams.open(leader, pool.driver.endpoints(leader), kind, {})
        try:
            answer = await session.receive_message(most)
        finally:
            await session.aclose()
    return answer


async def handle_usage(pool: Stay, session: Session) -> None:
    """Tell a member the counts that are for it, if this node leads."""
    claim, peer = pool.node.leader(), session.peer
    if peer is None or claim is None or claim.author != pool.node.id:
        await session.send_message({"refused": "this machine does not lead"})
        return
    counts = [[id, *one] for id, one in visible(pool, NodeId(peer)).items()]
    with trio.move_on_after(SEND_SECONDS):  # a member may ask and not listen
        await session.send_message({"counts": counts})


def visible(pool: Stay, viewer: NodeId) -> dict[str, Usage]:
    """This node's counts of who is in the pool, as far as that member is told of them."""
    counts = pool.leading.usage()
    if Rights.OWN in pool.node.rights(viewer):
        return {id: one for id, one in counts.items() if pool.node.chain(NodeId(parse_id(id)))}
    return {id: one for id, one in counts.items() if id == id_text(viewer)}


def read_rows(answer: Any) -> dict[str, Usage] | None:
    """The counts in a leader's answer; None where it is anything else."""
    rows = answer.get("counts") if isinstance(answer, dict) else None
    if not isinstance(rows, list) or len(rows) > MAX_ACCOUNTS:
        return None
    counts = {}
    for row in rows:
        if not isinstance(row, list) or len(row) <= len(Usage._fields) or not _is_id(row[0]):
            return None
        numbers = row[1 : 1 + len(Usage._fields)]
        if any(type(number) is not int or number < 0 for number in numbers):
            return None
        counts[row[0]] = Usage(*numbers)
    return counts


def _is_id(text: Any) -> bool:
    try:
        return isinstance(text, str) and id_text(NodeId(parse_id(text))) == text
    except MeshError:
        return False
