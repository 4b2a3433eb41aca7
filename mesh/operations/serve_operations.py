"""`mesh serve` and `mesh stop`."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import trio

from leader.model.model_hash import hash_model
from leader.model.model_info import ModelInfo
from leader.model.model_names import file_names, told_name
from leader.placement.planner import place
from leader.placement.reading import read_model
from leader.reconcile.decide import why_never
from leader.reconcile.member_views import member_view
from mesh.control.operations import NoArgs, ServeArgs, ServeResult, StopResult
from mesh.member.stay import Stay
from mesh.operations.deployment_outlook import copies_of, outlook, same
from mesh.operations.home import EmitEvent, Home, joined_pool, owned_pool
from mesh.operations.plan import DEFAULT_SLOTS, context_of, fixed_layers, refuse_unable
from mesh.runtime import status as views
from mesh.wire.errors import MeshError
from mesh.wire.facts import Deployment
from mesh.wire.identity import NodeId
from mesh.wire.profile import Model

TELL_SECONDS = 0.5
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
        """The deployment to sign, once its model is known to fit and this machine holds it."""
        model_info = await trio.to_thread.run_sync(read_model, Path(args["model"]))
        name = told_name(model_info.files[0].name)
        file_names(name, len(model_info.files))  # refuses what no machine could keep a copy of
        context, slots = context_of(model_info, args["context"]), args["slots"] or DEFAULT_SLOTS
        fixed = fixed_layers(args["layers"], pool.node.members())
        _check_fit(pool, model_info, context, slots, fixed)
        model = await self._hash(model_info, name, emit)
        copies = copies_of(args.get("copies"), model, pool.node.deployment())
        try:
            await trio.to_thread.run_sync(pool.models.add, model.name, model.root, model_info.files)
        except OSError as error:
            raise MeshError(f"cannot note the model: {error.strerror}", "free some disk space") from error
        pool.machine.changes.notify()
        layers = tuple((NodeId(member), count) for member, count in sorted(fixed.items()))
        return Deployment(pool.id, pool.node.id, 0, model, context, slots, True, layers, copies)

    async def _hash(self, model_info: ModelInfo, name: str, emit: EmitEvent) -> Model:
        """Read the whole file once to name it by its hash tree; afterwards its stamp suffices."""
        done = 0.0

        def report(read: int, total: int) -> None:
            nonlocal done
            done = read / max(total, 1)

        async def tell() -> None:
            while True:
                await trio.sleep(TELL_SECONDS)
                await emit({"text": f"reading {model_info.files[0].name}", "progress": done})

        async with trio.open_nursery() as nursery:
            nursery.start_soon(tell)
            root, _ = await hash_model(model_info.files, self._home.state.path / "hashes", report)
            nursery.cancel_scope.cancel()
        return Model(name, model_info.total_bytes, root)


def _deploy(pool: Stay, wanted: Deployment) -> None:
    settings = (wanted.model, wanted.context, wanted.slots, wanted.running, wanted.layers, wanted.copies)
    pool.driver.command(pool.node.deploy, *settings)


def _check_fit(
    pool: Stay, model_info: ModelInfo, context: int, slots: int, fixed: Mapping[bytes, int]
) -> None:
    """Refuse a model that the whole pool could not hold, before anything is changed."""
    members = [member_view(member, pool.node.id, model_info) for member in pool.node.members()]
    refuse_unable({view.id: (view.name, why_never(view)) for view in members}, fixed)
    devices = [view.device for view in members if why_never(view) is None and view.device is not None]
    place(model_info, devices, context, slots, fixed)


async def _wait_until_served(pool: Stay, wanted: Deployment, emit: EmitEvent) -> None:
    """Wait until that very deployment is ready; MeshError with the leader's reason when it has failed."""
    seen = -1
    while True:
        seen = await pool.machine.changes.wait(seen, LOOK_SECONDS)
        event = outlook(pool.node, wanted)
        if event is None:
            return
        await emit(event)
