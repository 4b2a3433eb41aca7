"""From members to devices, and from a plan to what `mesh plan` prints."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from leader.model.engine_settings import DEFAULT_KV, KV_TYPES, EngineSettings
from leader.model.made_for import refuse_kv, refuse_other_use
from leader.model.model_info import ModelInfo
from leader.placement.cost import Demand, demand
from leader.placement.planner import Plan, PlanStage, place
from leader.placement.reading import read_model
from leader.reconcile.decide import why_never, why_unusable
from leader.reconcile.member_views import member_view
from leader.reconcile.view import MemberView
from mesh.control.operations import LeftOut, PlanResult, PlanStageResult
from mesh.operations.pool_file import read_pool
from mesh.protocol.membership.peers import PRESENT
from mesh.protocol.node.node import Member, Node
from mesh.wire.errors import MeshError
from mesh.wire.identity import id_text

DEFAULT_CONTEXT = 4096
DEFAULT_SLOTS = 1


def context_of(model_info: ModelInfo, wanted: int | None) -> int:
    """Tokens of context a slot: as requested, else 4096, or the training's if that is less."""
    if wanted is not None:
        return wanted
    return min(DEFAULT_CONTEXT, model_info.context_train) if model_info.context_train else DEFAULT_CONTEXT


def settings_asked(model_info: ModelInfo, asked: Mapping[str, Any], projector: int = 0) -> EngineSettings:
    """How the engine is to run the model: as asked, else as usual.

    ``asked`` may have ``context``, ``slots``, ``kv`` and ``embeddings``; ``projector`` is the size in bytes
    of the file by which it reads pictures. Raises MeshError for what the engine does not have for this model,
    and for one that gives no answers and is to be served for them.
    """
    kv = asked.get("kv") or DEFAULT_KV
    if kv not in KV_TYPES:
        raise MeshError(f"{kv[:40]!a} is no form of keys and values", f"there are {', '.join(KV_TYPES)}")
    settings = EngineSettings(
        context_of(model_info, asked.get("context")),
        asked.get("slots") or DEFAULT_SLOTS,
        kv,
        bool(asked.get("embeddings")),
        projector,
    )
    refuse_other_use(model_info, settings)
    refuse_kv(model_info, settings)
    return settings


def fixed_layers(layers: Mapping[str, int] | None, members: Sequence[Member]) -> dict[bytes, int]:
    """Layer counts by id, from counts by name or id. MeshError for an unknown or ambiguous name.

    A member that has left or is dead does not make a name ambiguous.
    """
    fixed: dict[bytes, int] = {}
    for name, count in (layers or {}).items():
        same = [m for m in members if name in (id_text(m.id), m.record.profile.name if m.record else "")]
        present = [member for member in same if member.state in PRESENT]
        named = [member.id for member in present or same]
        if len(named) != 1:
            many = "several members are" if named else "no member is"
            raise MeshError(f"{many} called {name}", "see names and ids with mesh members --json")
        fixed[named[0]] = count
    return fixed


def refuse_unable(reasons: Mapping[bytes, tuple[str, str | None]], fixed: Mapping[bytes, int]) -> None:
    """Raise MeshError when a member that should hold layers cannot; ``reasons`` has (name, why not) by id."""
    for member, count in fixed.items():
        name, why = reasons[member]
        if count and why is not None:
            layers = "1 layer" if count == 1 else f"{count} layers"
            raise MeshError(f"{name} is to hold {layers}, but {why}", "leave it out of --layers")


def place_in_pool(
    node: Node, model_info: ModelInfo, settings: EngineSettings, fixed: Mapping[bytes, int]
) -> Plan:
    """The best placement in the whole pool, as if all members that may hold layers were ready now.

    Raises Infeasible where the model does not fit, MeshError where a member that is to hold layers cannot.
    """
    members = [member_view(member, node.id, model_info) for member in node.members()]
    refuse_unable({view.id: (view.name, why_never(view)) for view in members}, fixed)
    devices = [device for view in members if why_never(view) is None for device in view.devices]
    return place(model_info, devices, settings, fixed)


def describe(plan: Plan, left_out: Sequence[LeftOut]) -> PlanResult:
    wants = demand(plan.model_info, plan.settings, plan.batch)
    used = {stage.device.member for stage in plan.stages}
    notes = []
    if len(used) == 1:
        notes.append("It fits on one machine: a pool would only add round trips.")
    if any(stage.head and stage.device.local for stage in plan.stages):
        notes.append("The head stays with the leader, so only activations cross the network.")
    return {
        "model": plan.model_info.name,
        "layers": plan.model_info.n_layers,
        "context": plan.settings.context,
        "slots": plan.settings.slots,
        "predicted_tokens_per_second": round(plan.predicted_tokens_per_second, 3),
        "milliseconds_per_token": round(plan.step_seconds * 1000, 3),
        "stages": [_stage(stage, wants) for stage in plan.stages],
        "left_out": list(left_out),
        "notes": notes,
    }


def _stage(stage: PlanStage, wants: Demand) -> PlanStageResult:
    held = sum(wants.layers[stage.first : stage.first + stage.layers])
    kept_head = wants.head if stage.head else 0
    return {
        "member": id_text(stage.device.member),
        "name": stage.device.name,
        "layers": list(stage.span),
        "head": stage.head,
        "bytes": stage.bytes,
        "milliseconds": round(stage.seconds * 1000, 3),
        "terms_ms": {
            "link": round(stage.link_seconds * 1000, 3),
            "layers": round(stage.layer_seconds * 1000, 3),
            "head": round(stage.head_seconds * 1000, 3),
        },
        "memory": {
            "offered": stage.device.memory_offered,
            "layers": held,
            "head": kept_head,
            "overhead": stage.bytes - held - kept_head,
        },
    }


def left_out(plan: Plan, members: Sequence[MemberView], leader: MemberView) -> list[LeftOut]:
    """Members without a share, each with the reason."""
    used = {stage.device.member for stage in plan.stages}
    return [
        {
            "member": id_text(member.id),
            "name": member.name,
            "reason": why_unusable(member, leader) or "the plan is faster without it",
        }
        for member in members
        if member.id not in used
    ]


def plan_from_file(pool: Path, model: Path | None, layers: Mapping[str, int] | None) -> PlanResult:
    """Plan for machines described in a JSON file (see `mesh.operations.pool_file`), without a sidecar."""
    if model is None:
        raise MeshError("--pool needs a model", "mesh plan MODEL --pool FILE.json")
    model_info = read_model(model)
    described = read_pool(pool, model_info)
    fixed: dict[bytes, int] = {}
    for name, count in (layers or {}).items():
        if name not in {one.name for one in described.devices}:
            raise MeshError(f"no member is called {name}", f"it is not in {pool}")
        fixed[name.encode()] = count
    settings = EngineSettings(context_of(model_info, described.context), described.slots or DEFAULT_SLOTS)
    plan = place(model_info, described.devices, settings, fixed)
    used = {stage.device.member for stage in plan.stages}
    unused: list[LeftOut] = [
        {"member": one.name, "name": one.name, "reason": "the plan is faster without it"}
        for one in described.devices
        if one.member not in used
    ]
    result = describe(plan, unused)
    for stage in result["stages"]:
        stage["member"] = stage["name"]
    return result
