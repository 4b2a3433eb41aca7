"""`mesh models`: which members hold which models, how far copies are, and pruning."""

from typing import Final

import trio

from mesh.control.operations import CopyMade, CopyPhase, ModelHeld, ModelsResult, NoArgs, PruneResult
from mesh.copies.copy_manager import CopyState, may_lead
from mesh.member.stay import Stay
from mesh.operations.home import EmitEvent, Home, joined_pool
from mesh.protocol.membership.peers import MemberState
from mesh.runtime.deployment_source import source_of
from mesh.wire.facts import Deployment
from mesh.wire.identity import NodeId, id_text

MAX_ASKED: Final = 64
PHASES: Final[tuple[CopyPhase, ...]] = ("asking", "checking", "copying", "finishing")


class ModelOperations:
    """Lists the models that members hold, and prunes this machine's copies."""

    def __init__(self, home: Home) -> None:
        self._home = home

    async def models(self, args: NoArgs, emit: EmitEvent) -> ModelsResult:
        """Models by name, with their holders; for the served one, also the copies in progress."""
        pool = joined_pool(self._home)
        wanted = pool.node.deployment()
        serving = wanted.held if wanted is not None and wanted.running else ()
        held: dict[bytes, ModelHeld] = {}
        for member in pool.node.members():
            alive = member.state is MemberState.ALIVE
            for model in member.record.profile.models if member.record and alive else ():
                entry = held.setdefault(model.root, _held(model.name, model.size, model.root))
                entry["members"].append(id_text(member.id))
        for file in serving:
            served = held.setdefault(file.root, _held(file.name, file.size, file.root))
            served["serving"] = True
        if serving and wanted is not None:
            served = held[wanted.model.root]
            if wanted.second is not None:
                served["projector"] = wanted.second.name
            if source := source_of(wanted.options):
                served["source"] = source
            served["copies_wanted"] = wanted.copies
            served["copies"] = await self._copies(pool, wanted, served["members"])
        return {"models": sorted(held.values(), key=lambda entry: entry["name"])}

    async def _copies(self, pool: Stay, wanted: Deployment, holders: list[str]) -> list[CopyMade]:
        """Of the members that may lead and do not hold it yet, those that have begun or failed."""
        asked = [
            member
            for member in pool.node.members()
            if member.state is MemberState.ALIVE and may_lead(member) and id_text(member.id) not in holders
        ]
        states = await pool.copies.survey(wanted.model.root, asked[:MAX_ASKED])
        made = [(id, state) for id, state in sorted(states.items()) if not state.holds]
        return [
            _made(id, state, wanted.model.size)
            for id, state in made
            if state.phase or state.done or state.trouble
        ]

    async def prune(self, args: NoArgs, emit: EmitEvent) -> PruneResult:
        """Remove this machine's copies that nothing deployed uses."""
        pool = joined_pool(self._home)
        gone = await trio.to_thread.run_sync(pool.copies.prune)
        pool.machine.changes.notify()
        return {"removed": [{"name": one.name, "size": one.size, "sha256": one.root.hex()} for one in gone]}


def _held(name: str, size: int, root: bytes) -> ModelHeld:
    return {"name": name, "size": size, "sha256": root.hex(), "members": [], "serving": False}


def _made(id: NodeId, state: CopyState, size: int) -> CopyMade:
    return {
        "member": id_text(id),
        "state": next((phase for phase in PHASES if phase == state.phase), "idle"),
        "progress": round(min(1.0, state.done / max(1, size)), 3),
        "rate": round(state.rate, 1),
        "sources": state.sources,
        "reason": state.trouble,
    }
