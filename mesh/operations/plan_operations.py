"""`mesh plan` for the pool that this machine is in."""

from pathlib import Path

import trio

from leader.model.deployed_settings import settings_of
from leader.model.engine_settings import EngineSettings
from leader.model.model_info import ModelInfo
from leader.placement.infeasible import Infeasible
from leader.placement.planner import place
from leader.placement.reading import read_model
from leader.reconcile.decide import why_unusable
from leader.reconcile.deployed_layers import layers_of
from leader.reconcile.member_views import member_view
from mesh.control.operations import PlanArgs, PlanResult
from mesh.member.stay import Stay
from mesh.operations.home import EmitEvent, Home, joined_pool
from mesh.operations.plan import (
    ASKED,
    describe,
    fixed_layers,
    left_out,
    refuse_unable,
    settings_asked,
)
from mesh.operations.projectors import projector_meant
from mesh.operations.pulling.held_elsewhere import root_of, shape_of_held
from mesh.operations.reasons_stream import leaders_reasons
from mesh.protocol.node.node import Node
from mesh.wire.errors import MeshError
from mesh.wire.facts import Deployment
from mesh.wire.identity import NodeId


class PlanOperations:
    """Computes a placement and changes nothing."""

    def __init__(self, home: Home) -> None:
        self._home = home

    async def plan(self, args: PlanArgs, emit: EmitEvent) -> PlanResult:
        """Plan for the model in the file, or that is held, else for the deployed one with its settings.

        What is asked for beside the model counts for more than the deployment's.
        """
        pool = joined_pool(self._home)
        node = pool.node
        deployed = None if args["model"] or "held" in args else _running(node)
        model_info = await _model_info(pool, args, deployed, emit)
        settings = await _settings(pool, model_info, args, deployed)
        leader = _leader(node)
        told = await leaders_reasons(pool)
        served = pool.leading.has_served
        views = {
            member.id: member_view(member, leader, model_info, has_served=served(member.id))
            for member in node.members()
        }
        reasons: dict[bytes, tuple[str, str | None]] = {
            id: (view.name, why_unusable(view, views[leader])) for id, view in views.items()
        }
        fixed = fixed_layers(args["layers"], node.members()) or (layers_of(deployed) if deployed else {})
        refuse_unable(reasons, fixed)
        usable = [device for id, view in views.items() if reasons[id][1] is None for device in view.devices]
        try:
            plan = place(model_info, [one for one in usable if one.key not in told.left_out], settings, fixed)
        except Infeasible:
            plan = place(model_info, usable, settings, fixed)
        result = describe(plan, left_out(plan, list(views.values()), views[leader], told.left_out))
        if deployed is not None and told.deployment:
            result["notes"].append(f"The leader says: {told.deployment}.")
        return result


async def _settings(
    pool: Stay, model_info: ModelInfo, args: PlanArgs, deployed: Deployment | None
) -> EngineSettings:
    """As asked, else as the deployment has it, else as usual."""
    said = None if deployed is None else settings_of(deployed)
    if said is not None and "projector" not in args and "projector_held" not in args:
        projector = said.projector
    else:
        beside = model_info.files if args["model"] else ()
        meant = await projector_meant(pool, args, beside)
        projector = 0 if meant is None else meant.size
    asked = {name: args.get(name) or getattr(said, name, None) for name in ASKED}
    return settings_asked(model_info, asked, projector)


async def _model_info(pool: Stay, args: PlanArgs, deployed: Deployment | None, emit: EmitEvent) -> ModelInfo:
    """The shape of the model that is meant, by its files here or, if they are elsewhere, by their headers."""
    if args["model"]:
        path = Path(args["model"])
    elif "held" not in args:
        path = _held_file(pool, deployed)
    elif (held := pool.models.find(root := root_of(args["held"]))) is not None:
        path = held.files[0]
    else:
        return (await shape_of_held(pool, root, emit))[1]
    return await trio.to_thread.run_sync(read_model, path)


def _running(node: Node) -> Deployment | None:
    wanted = node.deployment()
    return wanted if wanted is not None and wanted.running else None


def _held_file(pool: Stay, deployed: Deployment | None) -> Path:
    if deployed is None:
        raise MeshError("no model is deployed", "name one: mesh plan MODEL")
    held = pool.models.find(deployed.model.root)
    if held is None:
        raise MeshError(f"{deployed.model.name} is not on this machine", "ask where it is: mesh models")
    return held.files[0]


def _leader(node: Node) -> NodeId:
    """The member that leads; this machine, if none does or the leader is not known yet."""
    claim = node.leader()
    return claim.author if claim is not None and node.member(claim.author) is not None else node.id
