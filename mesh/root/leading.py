"""The leader's part of a sidecar: carries out what the reconciler decides.

The reconciler is pure; here its view is put together from the Node and what runs, and its actions are
performed: leases asked for, tunnels opened, llama-server started and ended, the pool told.
"""

import logging
from dataclasses import dataclass, field
from pathlib import Path

import trio

from leader.llama_server import LlamaServer, ServerState
from leader.models import Models
from leader.placement import Plan
from leader.reconcile import decide
from leader.reconcile_types import (
    Action,
    HandOver,
    Memory,
    ReleaseLeases,
    Report,
    Running,
    Start,
    Stop,
    View,
    Wanted,
    WantLeases,
)
from leader.shape import Shape
from leader.tunnels import Passage, TunnelRefused, open_tunnels, pass_gate
from leader.views import member_view
from mesh.control.paths import log_path
from mesh.net.link import trusts_by
from mesh.root.clock import now
from mesh.root.machine import Machine
from mesh.root.planning import layers, read_model
from mesh.root.shell import Shell
from mesh.root.status import name_of
from mesh.wire.errors import MeshError
from mesh.wire.facts import Stage
from mesh.wire.identity import NodeId

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
TUNNEL_SECONDS = 10.0
TUNNEL_AGAIN_SECONDS = 0.1
UNREACHABLE_SECONDS = 1.0
STOP_SECONDS = 5.0


@dataclass
class Pipeline:
    """A llama-server with its tunnels, from start to end."""

    wanted: Wanted
    plan: Plan
    term: int
    state: ServerState = field(default_factory=lambda: ServerState("loading"))
    server: LlamaServer | None = None
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    ended: trio.Event = field(default_factory=trio.Event)


class Leading:
    """Runs on every member that may lead; does nothing while another leads."""

    def __init__(self, machine: Machine, shell: Shell, models: Models) -> None:
        self._machine = machine
        self._shell = shell
        self._models = models
        self._memory = Memory()
        self._number = 0
        self._pipeline: Pipeline | None = None
        self._shapes: dict[bytes, Shape] = {}
        self._unreachable: dict[bytes, float] = {}

    @property
    def port(self) -> int | None:
        """Where this node's llama-server answers on loopback; None while it is not ready."""
        pipeline = self._pipeline
        if pipeline is None or pipeline.server is None or pipeline.state.phase != "ready":
            return None
        return pipeline.server.port

    async def run(self) -> None:
        """Decide whenever something changed, and every second."""
        async with trio.open_nursery() as nursery:
            seen = -1
            while True:
                decision = decide(now(), await self._view(), self._memory)
                self._memory = decision.memory
                for action in decision.actions:
                    await self._perform(action, nursery)
                again = LOOK_SECONDS if decision.again_at is None else decision.again_at - now()
                seen = await self._machine.changes.wait(seen, max(0.01, min(LOOK_SECONDS, again)))

    async def stop(self) -> None:
        """End llama-server, if it runs."""
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            pipeline.scope.cancel()
            with trio.move_on_after(STOP_SECONDS):
                await pipeline.ended.wait()

    # --- the view -----------------------------------------------------------------------------------

    async def _view(self) -> View:
        node, pipeline = self._shell.node, self._pipeline
        claim, deployment = node.leader(), node.deployment()
        if claim is None or claim.author != node.id or deployment is None:
            return View(
                node.id, False if claim is None else claim.author == node.id, running=_running(pipeline)
            )
        root = deployment.model.root
        self._number = deployment.number
        wanted = Wanted(
            deployment.model.name,
            root,
            deployment.context,
            deployment.slots,
            deployment.running,
            {bytes(member): count for member, count in deployment.layers},
        )
        shape = await self._shape(root)
        members = tuple(
            member_view(member, node.id, shape, self._unreachable.get(member.id, 0.0) <= now())
            for member in node.members()
        )
        leases = frozenset(bytes(worker) for worker in node.leases(now()))
        lost = "" if shape is not None else self._models.lost(root)
        return View(node.id, True, wanted, shape, members, leases, _running(pipeline), lost)

    async def _shape(self, root: bytes) -> Shape | None:
        """The deployed model's shape, read once; None when its file is not, or no longer, on this machine."""
        held = self._models.find(root)
        if held is None:
            self._shapes.pop(root, None)
            return None
        if root not in self._shapes:
            try:
                self._shapes = {root: await trio.to_thread.run_sync(read_model, held.files[0])}
            except MeshError as error:
                log.error("%s: %s", held.files[0], error)
                return None
        return self._shapes[root]

    # --- the actions --------------------------------------------------------------------------------

    async def _perform(self, action: Action, nursery: trio.Nursery) -> None:
        node, do = self._shell.node, self._shell.do
        match action:
            case WantLeases(workers):
                do(node.want_leases, frozenset(map(NodeId, workers)))
            case ReleaseLeases(workers):
                do(node.release_leases, frozenset(map(NodeId, workers)))
            case Start(wanted, plan):
                claim, engine = node.leader(), self._machine.keeper.engine
                if claim is not None and engine is not None:
                    log.info("starting %s on %d stages", wanted.name, len(plan.stages))
                    self._pipeline = Pipeline(wanted, plan, claim.term)
                    nursery.start_soon(self._run, self._pipeline, engine.llama_server)
            case Stop(reason):
                log.info("stopping: %s", reason)
                await self.stop()
            case Report(phase, progress, reason):
                self._report(phase, progress, reason)
            case HandOver(to, reason):
                log.info("handing over: %s", reason)
                try:
                    do(node.hand_over, NodeId(to))
                except MeshError as error:
                    log.warning("cannot hand over: %s", error)

    def _report(self, phase: str, progress: float, reason: str) -> None:
        pipeline = self._pipeline
        stages: tuple[Stage, ...] = ()
        speed = 0.0
        if pipeline is not None:
            speed = pipeline.plan.predicted_tokens_per_second
            stages = tuple(
                Stage(NodeId(s.device.member), *layers(s), s.head, s.bytes, s.seconds * 1000)
                for s in pipeline.plan.stages
                if s.layers or s.head
            )
        number = self._number
        self._shell.do(self._shell.node.report, number, phase, progress, reason[:180], speed, stages)

    # --- a pipeline -----------------------------------------------------------------------------------

    async def _run(self, pipeline: Pipeline, program: Path) -> None:
        """Tunnels, then llama-server; ends with it, and takes the tunnels down."""

        def on_state(state: ServerState) -> None:
            pipeline.state = state
            self._machine.changes.notify()

        async def opener(worker: bytes) -> Passage:
            return await self._open_tunnel(NodeId(worker), pipeline.term)

        def on_reset(worker: bytes, reason: str) -> None:
            self._on_reset(worker, reason)
            if pipeline.server is not None:
                # It would notice at its next token, and abort; until then all seems well.
                pipeline.server.kill(f"lost {self._name_of(worker)}: {reason}")

        try:
            with pipeline.scope:
                async with open_tunnels(pipeline.plan.workers, opener, on_reset) as tunnels:
                    pipeline.server = LlamaServer(
                        program,
                        pipeline.plan,
                        tunnels.endpoints,
                        Path(log_path(str(self._machine.state.path), "llama-server")),
                        traffic=lambda: tunnels.sent + tunnels.received,
                        doubt=lambda: self._in_doubt(pipeline),
                        on_state=on_state,
                    )
                    await pipeline.server.run()
        finally:
            pipeline.ended.set()
            self._machine.changes.notify()

    async def _open_tunnel(self, worker: NodeId, term: int) -> Passage:
        """A stream through the worker's gate; a worker whose rpc-server is just starting is asked again."""
        with trio.fail_after(TUNNEL_SECONDS):
            while True:
                session = await self._machine.streams.open(
                    worker, self._shell.endpoints(worker), "tunnel", {"term": term, "plain": True}
                )
                try:
                    return await pass_gate(session, trusts_by(self._machine.tailscale))
                except BaseException as error:
                    await session.aclose()
                    if not (isinstance(error, TunnelRefused) and "not ready" in error.message):
                        raise
                await trio.sleep(TUNNEL_AGAIN_SECONDS)

    def _on_reset(self, worker: bytes, reason: str) -> None:
        log.warning("tunnel to %s: %s", self._name_of(worker), reason)
        self._unreachable[worker] = now() + UNREACHABLE_SECONDS
        self._shell.do(self._shell.node.connection_reset, NodeId(worker))

    def _name_of(self, worker: bytes) -> str:
        return name_of(self._shell.node, NodeId(worker))

    def _in_doubt(self, pipeline: Pipeline) -> bool:
        """Whether a used worker is suspected or held dead."""
        used = set(pipeline.plan.workers)
        return any(member.id in used and member.state != "alive" for member in self._shell.node.members())


def _running(pipeline: Pipeline | None) -> Running | None:
    if pipeline is None:
        return None
    state = pipeline.state
    phase = "failed" if state.phase == "stopped" else state.phase
    return Running(pipeline.wanted, pipeline.plan, phase, state.progress, state.reason)
