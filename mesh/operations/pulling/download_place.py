"""Which member downloads a model: this machine, unless it may not lead or its disk is too small."""

from collections.abc import Sequence
from typing import Final

import trio

from mesh.control.operations import PlaceResult
from mesh.copies.copy_manager import may_lead
from mesh.copies.copy_policy import missing_room
from mesh.copies.copy_store import CopyStore
from mesh.hub.hub_cache import arrived_bytes, cache_folder
from mesh.member.stay import Stay
from mesh.operations.pulling.wanted_download import WantedDownload
from mesh.protocol.membership.peers import MemberState
from mesh.protocol.node.node import Member
from mesh.runtime.status import name_of
from mesh.wire.amounts import size_text
from mesh.wire.errors import MeshError
from mesh.wire.identity import NodeId, id_text
from mesh.wire.rights import Rights

MAX_ASKED: Final = 64
MAX_NAMED: Final = 8
"""Members of which an error says why they do not download."""


async def place_download(pool: Stay, size: int) -> PlaceResult:
    """The member that downloads ``size`` bytes. MeshError, with each one's reason, where none can."""
    node = pool.node
    here = await trio.to_thread.run_sync(_free_here)
    why_not = _why_not(node.member(node.id), here, size)
    if why_not is None:
        return {"member": id_text(node.id), "name": _name(pool, node.id), "here": True, "reason": ""}
    reason = f"{_name(pool, node.id)} {why_not}"
    if Rights.OWN not in node.rights(node.id):
        raise MeshError(
            f"nobody can download it: {reason}, and only an owner may have another machine download",
            "make room here, or type this on an owner's machine",
        )
    others = [one for one in node.members() if one.id != node.id and one.state is not MemberState.LEFT]
    free = await _free(pool, others)
    able = [one.id for one in others if _why_not(one, free.get(one.id), size) is None]
    best = max(able, key=lambda id: (free[id], id), default=None)
    if best is None:
        told = [reason, *(f"{_name(pool, one.id)} {_why_not(one, free.get(one.id), size)}" for one in others)]
        more = f"; and {len(told) - MAX_NAMED} more" if len(told) > MAX_NAMED else ""
        raise MeshError(
            f"nobody can download it: {'; '.join(told[:MAX_NAMED])}{more}",
            "make room on one of them, or let a machine with room join",
        )
    return {"member": id_text(best), "name": _name(pool, best), "here": False, "reason": reason}


def why_not_here(pool: Stay, wanted: WantedDownload) -> str | None:
    """Why this member does not download for another; None when it can. Blocks."""
    here = _free_here() + arrived_bytes(wanted.repo, wanted.files)
    return _why_not(pool.node.member(pool.node.id), here, wanted.size)


def _free_here() -> int:
    """Bytes that are free where the hub's library keeps what it downloads."""
    return CopyStore(cache_folder()).free()


async def _free(pool: Stay, members: Sequence[Member]) -> dict[NodeId, int]:
    """Bytes that are free at those that are alive, may lead and answer."""
    asked = [member for member in members if member.state is MemberState.ALIVE and may_lead(member)]
    states = await pool.copies.survey(b"", asked[:MAX_ASKED])
    return {id: state.free for id, state in states.items()}


def _why_not(member: Member | None, free: int | None, size: int) -> str | None:
    if member is None or member.state is not MemberState.ALIVE:
        return "is not reachable"
    if not may_lead(member):
        return "may not lead"
    if free is None:
        return "does not answer"
    if missing := missing_room(free, size, 0):
        return f"lacks {size_text(missing)} of disk space"
    return None


def _name(pool: Stay, id: NodeId) -> str:
    return name_of(pool.node, id)
