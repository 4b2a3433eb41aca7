"""Both ends of the stream by which a member learns from the leader, whole, why its model is where it is.

The leader's state, which every member holds, has room for the beginning of a reason alone. Each row of what
is left out has a member's id in hex, the name of its device, seconds and the reason, such as a worker's last
words; later versions may append to it.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Final

import trio

from leader.blame.quarantines import LONGEST, LONGEST_WORDS, Exclusion
from leader.placement.cost import DeviceKey
from mesh.member.stay import Stay
from mesh.net.session import Session
from mesh.net.stream_kinds import StreamKind
from mesh.operations.usage_stream import SEND_SECONDS, answer_of
from mesh.wire.identity import ID_BYTES
from mesh.wire.profile import MAX_DEVICE_NAME
from mesh.wire.signed_facts import MAX_QUARANTINES

MAX_REASONS: Final = 1 << 19
"""Bytes of an answer."""


@dataclass(frozen=True, slots=True)
class Reasons:
    """Why the deployment is where it is, and which devices plans leave out."""

    deployment: str = ""
    left_out: dict[DeviceKey, Exclusion] = field(default_factory=dict)


async def leaders_reasons(pool: Stay) -> Reasons:
    """What the leader says; nothing where none leads, or it does not answer in time."""
    claim = pool.node.leader()
    if claim is None:
        return Reasons()
    if claim.author == pool.node.id:
        return own_reasons(pool)
    return read_reasons(await answer_of(pool, claim.author, StreamKind.REASONS, MAX_REASONS))


async def handle_reasons(pool: Stay, session: Session) -> None:
    """Tell a member, if this node leads."""
    claim = pool.node.leader()
    if session.peer is None or claim is None or claim.author != pool.node.id:
        await session.send_message({"refused": "this machine does not lead"})
        return
    told = own_reasons(pool)
    rows = [
        [member.hex(), name, ceil(one.seconds), one.reason] for (member, name), one in told.left_out.items()
    ]
    with trio.move_on_after(SEND_SECONDS):  # a member may ask and not listen
        await session.send_message({"deployment": told.deployment, "left_out": rows})


def own_reasons(pool: Stay) -> Reasons:
    """This node's own, as the leader: those that are left out the longest first."""
    deployment, left_out = pool.leading.reasons()
    first = sorted(left_out.items(), key=lambda one: (-one[1].seconds, one[0]))[:MAX_QUARANTINES]
    return Reasons(deployment[:LONGEST_WORDS], dict(first))


def read_reasons(answer: Any) -> Reasons:
    """A leader's answer, within bounds; nothing where it is anything else."""
    match answer:
        case {"deployment": str(deployment), "left_out": list(rows)} if len(rows) <= MAX_QUARANTINES:
            read = [_read_row(row) for row in rows]
            return Reasons(deployment[:LONGEST_WORDS], dict(row for row in read if row is not None))
    return Reasons()


def _read_row(row: Any) -> tuple[DeviceKey, Exclusion] | None:
    match row:
        case [str(member), str(name), int(seconds), str(reason), *_] if len(name) <= MAX_DEVICE_NAME:
            with suppress(ValueError):
                if len(id := bytes.fromhex(member)) == ID_BYTES:
                    seconds = min(max(0, seconds), int(LONGEST))
                    return (id, name), Exclusion(float(seconds), reason[:LONGEST_WORDS])
    return None
