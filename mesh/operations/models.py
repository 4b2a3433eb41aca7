"""What `mesh models` asks: who holds which models, how far copies are; and removing what nobody needs."""

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import trio

from mesh.control.control_server import Emit, Handler
from mesh.control.operations import CopyMade, ModelHeld, ModelsResult, PruneResult
from mesh.copies.copy_manager import CopyState, may_lead
from mesh.member.stay import Pool
from mesh.wire.facts import Deployment
from mesh.wire.identity import NodeId, id_text

MAX_ASKED: Final = 64


class Modelling:
    """Answers for the pool that this machine is in."""

    def __init__(self, pool: Callable[[], Pool]) -> None:
        self._pool = pool

    def operations(self) -> Mapping[str, Handler]:
        return {"models": self.models, "prune": self.prune}

    async def models(self, args: dict[str, Any], emit: Emit) -> Mapping[str, Any]:
        """Models by name, with their holders; of the one that is served, also the copies under way."""
        pool = self._pool()
        wanted = pool.node.deployment()
        serving = wanted.model.root if wanted is not None and wanted.running else b""
        held: dict[bytes, ModelHeld] = {}
        for member in pool.node.members():
            for model in member.record.profile.models if member.record and member.state == "alive" else ():
                entry = held.setdefault(model.root, _held(model.name, model.size, model.root))
                entry["members"].append(id_text(member.id))
        if serving and wanted is not None:
            served = held.setdefault(serving, _held(wanted.model.name, wanted.model.size, serving))
            served["serving"] = True
            served["copies_wanted"] = wanted.copies
            served["copies"] = await self._copies(pool, wanted, served["members"])
        result: ModelsResult = {"models": sorted(held.values(), key=lambda entry: entry["name"])}
        return result

    async def _copies(self, pool: Pool, wanted: Deployment, holders: list[str]) -> list[CopyMade]:
        """Of the members that may lead and hold it not yet, those that have begun or failed."""
        asked = [
            member
            for member in pool.node.members()
            if member.state == "alive" and may_lead(member) and id_text(member.id) not in holders
        ]
        states = await pool.copies.survey(wanted.model.root, asked[:MAX_ASKED])
        made = [(id, state) for id, state in sorted(states.items()) if not state.holds]
        return [
            _made(id, state, wanted.model.size)
            for id, state in made
            if state.phase or state.done or state.trouble
        ]

    async def prune(self, args: dict[str, Any], emit: Emit) -> Mapping[str, Any]:
        """Remove this machine's copies that nothing deployed uses."""
        pool = self._pool()
        gone = await trio.to_thread.run_sync(pool.copies.prune)
        pool.machine.changes.notify()
        result: PruneResult = {
            "removed": [{"name": one.name, "size": one.size, "sha256": one.root.hex()} for one in gone]
        }
        return result


def _held(name: str, size: int, root: bytes) -> ModelHeld:
    return {"name": name, "size": size, "sha256": root.hex(), "members": [], "serving": False}


def _made(id: NodeId, state: CopyState, size: int) -> CopyMade:
    phases = ("asking", "checking", "copying", "finishing")
    made: dict[str, Any] = {
        "member": id_text(id),
        "state": state.phase if state.phase in phases else "idle",
        "progress": round(min(1.0, state.done / max(1, size)), 3),
        "rate": round(state.rate, 1),
        "sources": state.sources,
        "reason": state.trouble,
    }
    return cast(CopyMade, made)
