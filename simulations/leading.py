"""The leader's reconciler in the loop: `leader.reconcile` decides, the engine models of a host carry it out.

This is what mesh/root does in a real sidecar, on simulated hosts, so that "it serves again" can be checked.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from leader.model.model_info import ModelInfo
from leader.reconcile.decide import decide
from leader.reconcile.member_views import member_view
from leader.reconcile.view import (
    Action,
    HandOver,
    ReconcilerMemory,
    ReleaseLeases,
    Report,
    ResolveMove,
    Running,
    Start,
    Stop,
    View,
    Wanted,
    WantLeases,
)
from mesh.protocol.base.effects import (
    DeploymentChanged,
    Event,
    GateChanged,
    LeaderChanged,
    LeasesChanged,
    MembersChanged,
)
from mesh.wire.errors import MeshError
from mesh.wire.facts import Model, Stage
from mesh.wire.identity import NodeId
from simulations.engines import BytesPass, Gate, LlamaServer, Wire
from simulations.hosts import Host
from simulations.world import World

_LOOK = 1.0
_SOON = 0.001
_UNREACHABLE = 2.0
_WORTH_A_LOOK = (DeploymentChanged, LeaderChanged, LeasesChanged, MembersChanged)


def model_info(name: str, layers: int) -> ModelInfo:
    """A small model of so many layers of 8 MiB each."""
    mib = 1 << 20
    return ModelInfo(
        name=name,
        architecture="llama",
        files=(Path(name),),
        total_bytes=layers * 8 * mib + 8 * mib,
        layer_bytes=(8 * mib,) * layers,
        kv_bytes=(2048,) * layers,
        largest_tensor=2 * mib,
        head_bytes=4 * mib,
        embedding_bytes=4 * mib,
        n_embd=512,
        n_ffn=768,
        n_heads=8,
        n_vocab=4096,
        context_train=4096,
        tied=False,
    )


class Serving:
    """What serves on every host of a world.

    ``passes`` is told of bytes that a gate let through, ``stops`` of a llama-server that a reconciler ends,
    with what it saw.
    """

    def __init__(self, world: World, shapes: dict[Model, ModelInfo]) -> None:
        self.world = world
        self.wire = Wire(world)
        self.shapes = {model.root: model_info for model, model_info in shapes.items()}
        self.passes: list[BytesPass] = []
        self.stops: list[Callable[[Host, View], None]] = []
        self._gates: dict[int, Gate] = {}
        self._leading: dict[int, LeaderLoop] = {}
        world.observers.append(self._observe)
        world.on_start.append(self._started)
        world.on_crash.append(self._crashed)

    def gate(self, host: Host) -> Gate | None:
        return self._gates.get(host.number)

    def leading(self, host: Host) -> LeaderLoop | None:
        """The reconciler of a running host."""
        return self._leading.get(host.number)

    def _started(self, host: Host) -> None:
        self._gates[host.number] = Gate(self.world, self.wire, host, self._passed)
        self._leading[host.number] = LeaderLoop(self, host)

    def _crashed(self, host: Host) -> None:
        self._gates.pop(host.number, None)
        leading = self._leading.pop(host.number, None)
        if leading is not None and leading.server is not None:
            leading.server.host_crashed()

    def _observe(self, world: World, host: Host, event: Event) -> None:
        if isinstance(event, GateChanged):
            gate = self.gate(host)
            if gate is not None:
                gate.set_holder(event.claim)
        elif isinstance(event, _WORTH_A_LOOK):
            leading = self.leading(host)
            if leading is not None:
                leading.look_soon()

    def answering(self, host: Host) -> bool:
        """Whether a host's llama-server is giving an answer, whatever its reconciler makes of that."""
        leading = self.leading(host)
        server = None if leading is None else leading.server
        return server is not None and server.phase == "ready" and self.world.now < server.answers_until

    def stopped(self, host: Host, view: View) -> None:
        """The reconciler of a host is about to end its llama-server."""
        for told in self.stops:
            told(host, view)

    def _passed(self, worker: Host, key: tuple[NodeId, int]) -> None:
        for told in self.passes:
            told(worker, key)


class LeaderLoop:
    """The reconciler of one process of a host; it does nothing while another leads."""

    def __init__(self, serving: Serving, host: Host) -> None:
        self._serving = serving
        self._world = serving.world
        self._host = host
        self._memory = ReconcilerMemory()
        self._number = 0
        self._unreachable: dict[NodeId, float] = {}
        self._look_at = float("inf")
        self._wish = ""
        self.server: LlamaServer | None = None

    def look_soon(self) -> None:
        """Something changed: decide, once what changes together has changed."""
        self._look_by(self._world.now + _SOON)

    def _look_by(self, when: float) -> None:
        if when < self._look_at:
            self._look_at = when
            self._world.on(self._host, when, lambda: self._look(when))

    def _look(self, when: float) -> None:
        if when != self._look_at:
            return
        self._look_at = float("inf")
        view = self._view()
        if not (view.leading or view.asked or view.running) and self._memory == ReconcilerMemory():
            return
        now = self._host.local(self._world.now)
        decision = decide(now, view, self._memory)
        self._memory = decision.memory
        for action in decision.actions:
            self._perform(action, view)
        again = _LOOK if decision.again_at is None else max(0.01, min(_LOOK, decision.again_at - now))
        self._look_by(self._world.now + again)

    # --- the view

    def _view(self) -> View:
        node = self._host.node
        assert node is not None
        claim, deployment, running = node.leader(), node.deployment(), self._running()
        leading = claim is not None and claim.author == node.id
        if not leading or deployment is None:
            return View(node.id, leading, running=running, asked=self._wish)
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
        held = {model.root for model in self._host.profile.models}
        model = self._serving.shapes[root] if root in held else None
        members = tuple(
            member_view(member, node.id, model, self._unreachable.get(member.id, 0.0) <= self._world.now)
            for member in node.members()
        )
        leases = frozenset(bytes(id) for id in node.leases(self._host.local(self._world.now)))
        return View(node.id, True, wanted, model, members, leases, running, asked=self._wish)

    def _running(self) -> Running | None:
        server = self.server
        if server is None:
            return None
        return Running(
            server.wanted, server.plan, server.phase, server.progress, server.reason, server.answers,
            server.load_seconds,
        )  # fmt: skip

    # --- the actions

    def wish(self, when: str) -> None:
        """A person wishes for the best placement."""
        self._wish = when
        self.look_soon()

    def _perform(self, action: Action, view: View) -> None:
        world, host = self._world, self._host
        match action:
            case WantLeases(workers):
                world.do(host, "want_leases", sorted(workers))
            case ReleaseLeases(workers):
                world.do(host, "release_leases", sorted(workers))
            case Start():
                self._start(action)
            case Stop():
                if self.server is not None:
                    self._serving.stopped(host, view)
                    self.server.stop()
                    self.server = None
            case ResolveMove():
                self._wish = ""
            case Report():
                self._report(action)
            case HandOver(to, _):
                try:
                    world.do(host, "hand_over", NodeId(to))
                except MeshError:
                    return

    def _start(self, start: Start) -> None:
        claim = self._host.node.leader() if self._host.node is not None else None
        if claim is None:
            return
        self.server = LlamaServer(
            self._world, self._serving.wire, self._serving, self._host,
            start.wanted, start.plan, claim.term, self.look_soon, self._lost,
        )  # fmt: skip
        self.server.start()

    def _lost(self, worker: NodeId) -> None:
        """A tunnel broke: the worker is not used for a moment, and asked whether it lives."""
        self._unreachable[worker] = self._world.now + _UNREACHABLE
        self._world.do(self._host, "connection_reset", worker)

    def _report(self, report: Report) -> None:
        stages: tuple[Stage, ...] = ()
        speed = 0.0
        if self.server is not None:
            speed = self.server.plan.predicted_tokens_per_second
            stages = tuple(
                Stage(NodeId(s.device.member), s.first, s.last, s.head, s.bytes, s.seconds * 1000)
                for s in self.server.plan.stages
                if s.layers
            )
        self._world.do(
            self._host,
            "report",
            self._number,
            report.phase,
            report.progress,
            report.reason[:180],
            speed,
            stages,
        )
