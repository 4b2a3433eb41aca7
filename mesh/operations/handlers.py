"""What the command line asks of the sidecar: one method for each operation of `mesh.control.operations`."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import trio

from leader.model.model_hash import hash_model
from leader.model.model_info import ModelInfo
from leader.model.model_names import told_name
from leader.placement.planner import place
from leader.placement.reading import read_model
from leader.reconcile.decide import why_never, why_unusable
from leader.reconcile.member_views import member_view
from mesh.admission.approval_joiner import await_approval
from mesh.admission.handshake import Admitted, Uninvited
from mesh.admission.invites import Token
from mesh.admission.search import Say, Search
from mesh.control.control_errors import NotJoined
from mesh.control.control_server import Emit, Handler
from mesh.control.operations import (
    Info,
    JoinArgs,
    JoinResult,
    LeaveResult,
    PlanResult,
    ProgressEvent,
    Right,
    ServeResult,
    ShutdownResult,
    Status,
    StopResult,
)
from mesh.control.sidecar_options import NodeOptions
from mesh.member.stay import Pool
from mesh.net.resolve import resolve
from mesh.operations.models import Modelling
from mesh.operations.move import Moving
from mesh.operations.owner import Owning
from mesh.operations.plan import (
    DEFAULT_SLOTS,
    context_of,
    describe,
    fixed_layers,
    left_out,
    refuse_unable,
)
from mesh.operations.serve import copies_of, outlook, same
from mesh.protocol.node.node import Node
from mesh.runtime import status as views
from mesh.runtime.node_context import Machine
from mesh.runtime.state import StateDir
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError
from mesh.wire.facts import Deployment, Model
from mesh.wire.identity import NodeId
from mesh.wire.rights import ALL_RIGHTS, Rights

log = logging.getLogger(__name__)

FIRST_INVITE_SECONDS = 24 * 3600.0
ELECTION_SECONDS = 5.0
TELL_SECONDS = 0.5

How = Literal["founded", "joined", "member"]


class Home(Protocol):
    """The sidecar, as far as its commands are concerned: a machine, and the pool it is in, if any."""

    machine: Machine
    options: NodeOptions
    state: StateDir
    pool: Pool | None
    joining: trio.Lock
    stopping: trio.Event
    purge: bool

    async def found(self) -> None:
        """Begin a pool of this node's own."""

    async def admit(self, admitted: Admitted) -> None:
        """Become a member by an answer at a pool's door."""

    async def leave_pool(self, forget: bool) -> None:
        """Say goodbye; with ``forget`` for good."""


class Handlers:
    """Answers for one sidecar."""

    def __init__(self, sidecar: Home) -> None:
        self._sidecar = sidecar
        self._leaving = False
        self._owning = Owning(self._pool)
        self._modelling = Modelling(self._pool)
        self._moving = Moving(self._pool)

    def operations(self) -> Mapping[str, Handler]:
        return {
            **self._owning.operations(),
            **self._modelling.operations(),
            **self._moving.operations(),
            "info": self.info,
            "status": self.status,
            "join": self.join,
            "leave": self.leave,
            "serve": self.serve,
            "stop": self.stop,
            "plan": self.plan,
            "shutdown": self.shutdown,
        }

    def _pool(self) -> Pool:
        if self._sidecar.pool is None:
            raise NotJoined
        return self._sidecar.pool

    # --- the process --------------------------------------------------------------------------------

    async def info(self, args: dict[str, Any], emit: Emit) -> Mapping[str, Any]:
        result: Info = {
            "pid": os.getpid(),
            "version": views.VERSION,
            "state_dir": str(self._sidecar.state.path),
            "joined": self._sidecar.pool is not None,
            "stopping": self._leaving or self._sidecar.stopping.is_set(),
            "options": self._sidecar.options.values(),
        }
        return result

    async def shutdown(self, args: dict[str, Any], emit: Emit) -> Mapping[str, Any]:
        self._sidecar.stopping.set()
        result: ShutdownResult = {"pid": os.getpid()}
        return result

    async def status(self, args: dict[str, Any], emit: Emit) -> Mapping[str, Any]:
        result: Status = self._pool().status()
        return result

    # --- joining and leaving ------------------------------------------------------------------------

    async def join(self, args: dict[str, Any], emit: Emit) -> Mapping[str, Any]:
        async def say(text: str) -> None:
            event: ProgressEvent = {"text": text}
            await emit(event)

        request = cast(JoinArgs, args)
        async with self._sidecar.joining:
            how: How = "member" if await self._already(request, say) else await self._enter(request, say)
            return await self._joined(how)

    async def _already(self, args: JoinArgs, say: Say) -> bool:
        """Whether this machine is where it was asked to be; MeshError when it is in another pool."""
        pool = self._sidecar.pool
        if pool is None:
            return False
        elsewhere = bool(args.get("found"))
        if "token" in args:
            elsewhere = Token.parse(args["token"]).pool != pool.id
        elif "host" in args:
            machine = self._sidecar.machine
            there = await Search.of(machine, say).pool_at(await resolve(args["host"], machine.port))
            elsewhere = there != pool.id
        if elsewhere:
            raise MeshError(f"this machine already belongs to pool {pool.name}", "leave it first: mesh leave")
        return True

    async def _enter(self, args: JoinArgs, say: Say) -> How:
        sidecar, machine = self._sidecar, self._sidecar.machine
        search = Search.of(machine, say)
        token = Token.parse(args["token"]) if "token" in args else None
        approved = bool(args.get("terminal"))
        if "host" in args:
            there = await resolve(args["host"], machine.port)
            await sidecar.admit(await self._at_host(search, there, token, approved))
            return "joined"
        if token is not None:
            await sidecar.admit(await search.by_token(token))
            return "joined"
        if not args.get("found"):
            admitted = await self._anywhere(search, approved)
            if admitted is not None:
                await sidecar.admit(admitted)
                return "joined"
        await say("founding a pool")
        await sidecar.found()
        return "founded"

    async def _at_host(
        self, search: Search, there: Endpoint, token: Token | None, approved: bool
    ) -> Admitted:
        """Ask that machine; with a person at the terminal, wait for an approval where it takes one."""
        try:
            return await search.by_host(there, token)
        except Uninvited as refused:
            if not approved or token is not None:
                raise
            await search.say(refused.message)
            return await await_approval(search, lambda: {None: [there]})

    async def _anywhere(self, search: Search, approved: bool) -> Admitted | None:
        """The same on the tailnet and the local network."""
        try:
            return await search.anywhere()
        except Uninvited as refused:
            if not approved or not search.lan_endpoints():
                raise
            await search.say(f"{refused.message}; to found another: mesh join --found")
            return await await_approval(search, search.lan_endpoints)

    async def _joined(self, how: How) -> Mapping[str, Any]:
        machine, pool = self._sidecar.machine, self._pool()
        node = pool.node
        seen = machine.changes.count
        with trio.move_on_after(ELECTION_SECONDS):
            while not _leader_is_known(node):
                seen = await machine.changes.wait(seen, ELECTION_SECONDS)
        token: Token | None = None
        if Rights.OWN in node.rights(node.id):
            hints = pool.driver.endpoints(node.id)
            token = pool.invites.unlimited(pool.id, node.id, hints)
            if token is None and how == "founded":
                token = pool.invites.create(pool.id, node.id, hints, ALL_RIGHTS, FIRST_INVITE_SECONDS, None)
        result: JoinResult = {
            "how": how,
            "pool": views.pool(pool.id, pool.name),
            "self": views.self_status(node),
            "members": sum(member.state == "alive" for member in node.members()),
            "accelerator": machine.keeper.accelerator(),
            "engine": machine.keeper.status(),
            "leader": views.leader(node),
            "api": pool.api,
            "token": token.text() if token else None,
            "rights": cast(list[Right], node.rights(node.id).names()),
        }
        return result

    async def leave(self, args: dict[str, Any], emit: Emit) -> Mapping[str, Any]:
        pool = self._pool()
        result: LeaveResult = {"pool": views.pool(pool.id, pool.name), "pid": os.getpid()}
        await emit({"text": f"leaving pool {pool.name}"})
        self._leaving = True
        await self._sidecar.leave_pool(forget=True)
        self._sidecar.purge = bool(args.get("purge"))
        self._sidecar.stopping.set()
        return result

    # --- models -------------------------------------------------------------------------------------

    async def serve(self, args: dict[str, Any], emit: Emit) -> Mapping[str, Any]:
        pool = self._pool()
        node = pool.node
        if Rights.OWN not in node.rights(node.id):
            raise MeshError(
                "this machine may not decide what runs: it is no owner of the pool", "serve from an owner's"
            )
        model_info = await trio.to_thread.run_sync(read_model, Path(args["model"]))
        context, slots = context_of(model_info, args["context"]), args["slots"] or DEFAULT_SLOTS
        fixed = fixed_layers(args["layers"], node.members())
        self._check_fit(pool, model_info, context, slots, fixed)
        model = await self._hash(model_info, emit)
        copies = copies_of(args.get("copies"), model, node.deployment())
        try:
            await trio.to_thread.run_sync(pool.models.add, model.name, model.root, model_info.files)
        except OSError as error:
            raise MeshError(f"cannot note the model: {error.strerror}", "free some disk space") from error
        self._sidecar.machine.changes.notify()
        layers = tuple((NodeId(member), count) for member, count in sorted(fixed.items()))
        wanted = Deployment(pool.id, node.id, 0, model, context, slots, True, layers, copies)
        if not same(node.deployment(), wanted):
            pool.driver.command(node.deploy, model, context, slots, True, layers, copies)
        if args.get("wait"):
            await self._wait_until_served(pool, wanted, emit)
        deployment = views.deployment(node)
        assert deployment is not None
        result: ServeResult = {"deployment": deployment, "plan": views.plan(node), "api": pool.api}
        return result

    def _check_fit(
        self, pool: Pool, model_info: ModelInfo, context: int, slots: int, fixed: Mapping[bytes, int]
    ) -> None:
        """A model that the whole pool could not hold is refused before anything is changed."""
        views = [member_view(member, pool.node.id, model_info) for member in pool.node.members()]
        refuse_unable({view.id: (view.name, why_never(view)) for view in views}, fixed)
        devices = [view.device for view in views if why_never(view) is None and view.device is not None]
        place(model_info, devices, context, slots, fixed)

    async def _hash(self, model_info: ModelInfo, emit: Emit) -> Model:
        """Read the whole file once to name it by its hash tree; the next time its stamp tells."""
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
            root, _ = await hash_model(model_info.files, self._sidecar.state.path / "hashes", report)
            nursery.cancel_scope.cancel()
        return Model(told_name(model_info.files[0].name), model_info.total_bytes, root)

    async def _wait_until_served(self, pool: Pool, wanted: Deployment, emit: Emit) -> None:
        """Until that very deployment is ready; MeshError with the leader's reason when it has failed."""
        seen = -1
        while True:
            seen = await pool.machine.changes.wait(seen, 2.0)
            event = outlook(pool.node, wanted)
            if event is None:
                return
            await emit(event)

    async def stop(self, args: dict[str, Any], emit: Emit) -> Mapping[str, Any]:
        pool = self._pool()
        wanted = pool.node.deployment()
        result: StopResult = {"model": None}
        if wanted is not None and wanted.running:
            settings = (wanted.model, wanted.context, wanted.slots, False, wanted.layers, wanted.copies)
            pool.driver.command(pool.node.deploy, *settings)
            result["model"] = wanted.model.name
        return result

    async def plan(self, args: dict[str, Any], emit: Emit) -> Mapping[str, Any]:
        pool = self._pool()
        node, wanted = pool.node, pool.node.deployment()
        if wanted is not None and not wanted.running:
            wanted = None
        path = Path(args["model"]) if args["model"] else self._deployed_path(pool, wanted)
        model_info = await trio.to_thread.run_sync(read_model, path)
        deployed = wanted if args["model"] is None else None
        claim = node.leader()
        leader = claim.author if claim is not None and _leader_is_known(node) else node.id
        views = {member.id: member_view(member, leader, model_info) for member in node.members()}
        reasons: dict[bytes, tuple[str, str | None]] = {
            id: (view.name, why_unusable(view, views[leader])) for id, view in views.items()
        }
        fixed = fixed_layers(args["layers"], node.members()) or dict(deployed.layers if deployed else ())
        refuse_unable(reasons, fixed)
        usable = [view.device for id, view in views.items() if reasons[id][1] is None]
        plan = place(
            model_info,
            [device for device in usable if device is not None],
            deployed.context if deployed else context_of(model_info, None),
            deployed.slots if deployed else DEFAULT_SLOTS,
            fixed,
        )
        result: PlanResult = describe(plan, left_out(plan, list(views.values()), views[leader]))
        return result

    def _deployed_path(self, pool: Pool, wanted: Deployment | None) -> Path:
        if wanted is None:
            raise MeshError("no model is deployed", "name one: mesh plan MODEL.gguf")
        held = pool.models.find(wanted.model.root)
        if held is None:
            raise MeshError(f"{wanted.model.name} is not on this machine", "ask where it is: mesh models")
        return held.files[0]


def _leader_is_known(node: Node) -> bool:
    claim = node.leader()
    return claim is not None and node.member(claim.author) is not None
