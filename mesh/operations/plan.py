"""From members to devices, and from a plan to what `mesh plan` prints."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from leader.blame.quarantines import Exclusion
from leader.model.engine_settings import DEFAULT_KV, KV_TYPES, EngineSettings
from leader.model.made_for import refuse_kv, refuse_other_use
from leader.model.model_info import ModelInfo
from leader.model.projector import refuse_no_projector
from leader.placement.cost import Demand, Device, DeviceKey, demand
from leader.placement.planner import Plan, PlanStage, place
from leader.placement.reading import read_model
from leader.reconcile.decide import why_left_out, why_never, why_unusable
from leader.reconcile.member_views import member_view
from leader.reconcile.view import MemberView
from mesh.control.operations import LeftOut, PlanResult, PlanStageResult
from mesh.operations.layer_counts import Machine, counts_by_device
from mesh.operations.pool_file import read_pool
from mesh.protocol.membership.peers import PRESENT
from mesh.protocol.node.node import Member, Node
from mesh.wire.errors import MeshError
from mesh.wire.identity import id_text
from mesh.wire.profile import Profile

DEFAULT_CONTEXT = 4096
DEFAULT_SLOTS = 1
ASKED = ("context", "slots", "kv", "embeddings")
"""What may be asked for beside the model, its projector and the numbers of layers."""


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


def fixed_layers(layers: Mapping[str, int] | None, members: Sequence[Member]) -> dict[DeviceKey, int]:
    """Layer counts by device, from counts by name or id. MeshError for an unknown or ambiguous name."""
    return counts_by_device(
        layers, [_machine(member) for member in members], "see names and ids with mesh members --json"
    )


def _machine(member: Member) -> Machine:
    profile = member.record.profile if member.record else Profile()
    names = (id_text(member.id), *filter(None, [profile.name]))
    devices = tuple(device.name for device in profile.devices)
    return Machine(member.id, names, devices, gone=member.state not in PRESENT)


def refuse_unable(reasons: Mapping[bytes, tuple[str, str | None]], fixed: Mapping[DeviceKey, int]) -> None:
    """Raise MeshError when a member that should hold layers cannot; ``reasons`` has (name, why not) by id."""
    for (member, device), count in fixed.items():
        name, why = reasons.get(member, ("a member that is not here any more", "is unknown"))
        if count and why is not None:
            layers = "1 layer" if count == 1 else f"{count} layers"
            named = f"{name}/{device}" if device else name
            raise MeshError(f"{named} is to hold {layers}, but {why}", "leave it out of --layers")


def place_in_pool(
    node: Node, model_info: ModelInfo, settings: EngineSettings, fixed: Mapping[DeviceKey, int]
) -> Plan:
    """The best placement in the whole pool, as if all members that may hold layers were ready now.

    Raises Infeasible where the model does not fit, MeshError where a member that is to hold layers cannot.
    """
    members = [member_view(member, node.id, model_info) for member in node.members()]
    refuse_unable({view.id: (view.name, why_never(view)) for view in members}, fixed)
    devices = [device for view in members if why_never(view) is None for device in view.devices]
    return place(model_info, devices, settings, fixed)


def describe(plan: Plan, left_out: Sequence[LeftOut]) -> PlanResult:
    wants = plan.wants
    used = {stage.device.member for stage in plan.stages}
    notes = []
    if len(used) == 1:
        notes.append("It fits on one machine: a pool would only add round trips.")
    elif any(stage.head and stage.device.local for stage in plan.stages):
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
        "device": stage.device.device,
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


def left_out(
    plan: Plan,
    members: Sequence[MemberView],
    leader: MemberView,
    failed: Mapping[DeviceKey, Exclusion] = MappingProxyType({}),
) -> list[LeftOut]:
    """Members without a share, and devices of those that have one, each with the reason; those in ``failed``
    are left out for what became of loads with them.
    """
    used = {stage.device.key for stage in plan.stages}
    wants = demand(plan.model_info, plan.settings, plan.batch)
    found: list[LeftOut] = []
    for member in members:
        why = why_unusable(member, leader)
        idle = [device for device in member.devices if device.key not in used]
        alike = len({failed.get(device.key) for device in idle}) < 2
        whole = len(idle) == len(member.devices) and alike
        named = [(member.name, idle)] if whole else [(device.name, [device]) for device in idle]
        found += [
            {"member": id_text(member.id), "name": name, "reason": why or _why_idle(wants, devices, failed)}
            for name, devices in named
        ]
    return found


def _why_idle(
    wants: Demand, devices: Sequence[Device], failed: Mapping[DeviceKey, Exclusion] = MappingProxyType({})
) -> str:
    """Why the plan does not use what it could."""
    exclusion = failed.get(devices[0].key) if devices else None
    if exclusion is not None:
        return why_left_out(exclusion)
    holds = any(wants.most(device) for device in devices)
    return "the plan is faster without it" if holds else "what it offers holds not even one layer"


def plan_from_file(
    pool: Path,
    model: Path | None,
    layers: Mapping[str, int] | None,
    asked: Mapping[str, Any],
    projector: Path | None = None,
) -> PlanResult:
    """Plan for machines described in a JSON file (see `mesh.operations.pool_file`), without a sidecar.

    ``asked`` is as in `settings_asked`, and counts for more than the file's.
    """
    if model is None:
        raise MeshError("--pool needs a model", "mesh plan MODEL --pool FILE.json")
    model_info = read_model(model)
    described = read_pool(pool, model_info)
    machines = [Machine(id, (id.decode(),), devices) for id, devices in described.members.items()]
    fixed = counts_by_device(layers, machines, f"it is not in {pool}")
    told = {"context": described.context, "slots": described.slots}
    wanted = {**told, **{name: value for name, value in asked.items() if value}}
    size = 0
    if projector is not None:
        refuse_no_projector(projector)
        size = projector.stat().st_size
    settings = settings_asked(model_info, wanted, size)
    plan = place(model_info, described.devices, settings, fixed)
    used = {stage.device.key for stage in plan.stages}
    wants = demand(plan.model_info, plan.settings, plan.batch)
    unused: list[LeftOut] = [
        {"member": one.member_name, "name": one.name, "reason": _why_idle(wants, [one])}
        for one in described.devices
        if one.key not in used
    ]
    result = describe(plan, unused)
    for shown, stage in zip(result["stages"], plan.stages, strict=True):
        shown["member"] = stage.device.member_name
    return result
