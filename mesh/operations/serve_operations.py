"""`mesh serve` and `mesh stop`."""

from dataclasses import replace
from pathlib import Path

import trio

from leader.model.deployed_settings import settings_of
from leader.model.engine_settings import EngineSettings
from leader.model.model_info import ModelInfo
from leader.placement.reading import read_model
from leader.reconcile.deployed_layers import layers_of, of_members, with_devices
from mesh.control.operations import NoArgs, ServeArgs, ServeResult, StopResult
from mesh.member.stay import Stay
from mesh.operations.deployment_outlook import Unserved, copies_of, options_of, outlook, same
from mesh.operations.home import EmitEvent, Home, joined_pool, owned_pool
from mesh.operations.plan import fixed_layers, place_in_pool, settings_asked
from mesh.operations.projectors import projector_meant
from mesh.operations.pulling.held_elsewhere import root_of, shape_of_held
from mesh.operations.pulling.holding import hash_told, note_held, pool_name_of
from mesh.operations.reasons_stream import leaders_reasons
from mesh.runtime import status as views
from mesh.wire.errors import MeshError
from mesh.wire.facts import Deployment
from mesh.wire.profile import Model

LOOK_SECONDS = 2.0


class ServeOperations:
    """Decides what the pool runs."""

    def __init__(self, home: Home) -> None:
        self._home = home

    async def serve(self, args: ServeArgs, emit: EmitEvent) -> ServeResult:
        pool = owned_pool(self._home, "decide what runs", "serve from an owner's")
        wanted = await self._prepare(pool, args, emit)
        if not same(pool.node.deployment(), wanted):
            _deploy(pool, wanted)
        if args.get("wait"):
            await _wait_until_served(pool, wanted, emit)
        deployment = views.deployment(pool.node)
        assert deployment is not None
        return {"deployment": deployment, "plan": views.plan(pool.node), "api": pool.api}

    async def stop(self, args: NoArgs, emit: EmitEvent) -> StopResult:
        pool = joined_pool(self._home)
        wanted = pool.node.deployment()
        if wanted is None or not wanted.running:
            return {"model": None}
        _deploy(pool, replace(wanted, running=False))
        return {"model": wanted.model.name}

    async def _prepare(self, pool: Stay, args: ServeArgs, emit: EmitEvent) -> Deployment:
        """The deployment to sign, once its model is known to fit, and a machine holds it."""
        model, model_info = await _what_is_meant(pool, args, emit)
        if not (elsewhere := model is not None):
            pool_name_of(model_info)  # refuses what no machine could keep a copy of
        beside = await projector_meant(pool, args, () if elsewhere else model_info.files)
        settings = settings_asked(model_info, args, 0 if beside is None else beside.size)
        fixed = fixed_layers(args["layers"], pool.node.members())
        place_in_pool(pool.node, model_info, settings, fixed)  # refuses what the pool could not hold
        if model is None:
            model = await hash_told(pool, model_info, args.get("sha256", ()), emit)
        second = None if beside is None else await beside.held(pool, args.get("projector_sha256", ""), emit)
        present = pool.node.deployment()
        copies = copies_of(args.get("copies"), model, present)
        options = options_of(args.get("source"), settings, model, present)
        if not elsewhere:
            await note_held(pool, model, model_info.files)
        layers = of_members(fixed)
        wanted = Deployment(
            pool.id, pool.node.id, 0, model, settings.context, settings.slots, True, layers, copies
        )
        return replace(wanted, options=with_devices(options, fixed), second=second)


async def _what_is_meant(pool: Stay, args: ServeArgs, emit: EmitEvent) -> tuple[Model | None, ModelInfo]:
    """The shape of the model by its files here; with it, if only others hold it, the model."""
    path = Path(args["model"])
    if "held" in args:
        root = root_of(args["held"])
        held = await trio.to_thread.run_sync(pool.models.find, root)
        if held is None:
            return await shape_of_held(pool, root, emit)
        path = held.files[0]
    return None, await trio.to_thread.run_sync(read_model, path)


def _deploy(pool: Stay, wanted: Deployment) -> None:
    settings = (wanted.model, wanted.context, wanted.slots, wanted.running, wanted.layers, wanted.copies)
    usual = settings_of(wanted) == EngineSettings(wanted.context, wanted.slots)
    by_device = any(device for _, device in layers_of(wanted))
    pool.driver.command(pool.node.deploy, *settings, wanted.options, wanted.second, by_device or not usual)


async def _wait_until_served(pool: Stay, wanted: Deployment, emit: EmitEvent) -> None:
    """Wait until that very deployment is ready; MeshError with the leader's reason when it has failed."""
    seen = -1
    while True:
        seen = await pool.machine.changes.wait(seen, LOOK_SECONDS)
        try:
            event = outlook(pool.node, wanted)
        except Unserved as error:
            raise MeshError(error.whole((await leaders_reasons(pool)).deployment), error.hint) from error
        if event is None:
            return
        await emit(event)
