"""The leader's reconciler in the loop: `leader.reconcile` decides, a host's engine models perform it.

It uses the driver that `mesh.serving.leader_loop` runs in a sidecar, so that a run can check that the pool
serves again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from leader.blame.breaks import Judgement
from leader.blame.ledger import Ledger
from leader.blame.quarantines import FIRST, LONGEST
from leader.model.graph_widths import GraphWidths
from leader.model.layer_caches import CacheRows, LayerCache
from leader.model.model_info import ModelInfo
from leader.reconcile.driver import Input, LeaderDriver, pause
from leader.reconcile.view import (
    Action,
    Copying,
    Drain,
    HandOver,
    ReconcilerMemory,
    ResolveMove,
    Running,
    Start,
    Stop,
    View,
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
from mesh.wire.identity import NodeId
from mesh.wire.profile import Model
from mesh.wire.states import Phase
from simulations.engines import BytesPass, Gate, LlamaServer, Wire
from simulations.hosts import Host
from simulations.unruly import Manners
from simulations.world import World

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
        caches=(LayerCache((CacheRows(512), CacheRows(512))),) * layers,
        largest_tensor=2 * mib,
        head_bytes=4 * mib,
        embedding_bytes=4 * mib,
        n_embd=512,
        graph=GraphWidths(3 * 768 + 3 * 512, 512),
        n_vocab=4096,
        context_train=4096,
        tied=False,
    )


class Serving:
    """The serving programs of every host of a world.

    ``passes`` are called with bytes that a gate passed, ``stops`` with a llama-server that a reconciler ends
    and with what it saw, ``judgements`` with a leader and whose fault it holds a broken tunnel to be.
    """

    def __init__(
        self,
        world: World,
        shapes: dict[Model, ModelInfo],
        quarantine: tuple[float, float] = (FIRST, LONGEST),
    ) -> None:
        """``quarantine``: how many seconds the first one of a device lasts, and the longest."""
        self.world = world
        self.wire = Wire(world)
        self.shapes = {model.root: model_info for model, model_info in shapes.items()}
        self.quarantine = quarantine
        self.manners = Manners()
        self.judgements: list[Callable[[Host, Judgement], None]] = []
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
        self._gates[host.number] = Gate(self.world, self.wire, host, self._passed, self.manners)
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
        return server is not None and server.phase is Phase.READY and self.world.now < server.answers_until

    def judged(self, host: Host, judged: Judgement) -> None:
        """A leader knows whose fault a broken tunnel is."""
        for told in self.judgements:
            told(host, judged)

    def stopped(self, host: Host, view: View) -> None:
        """The reconciler of a host is about to end its llama-server."""
        for told in self.stops:
            told(host, view)

    def _passed(self, worker: Host, key: tuple[NodeId, int]) -> None:
        for told in self.passes:
            told(worker, key)


class LeaderLoop:
    """The reconciler of one process of a host; it does nothing while another host leads."""

    def __init__(self, serving: Serving, host: Host) -> None:
        assert host.node is not None
        self._serving = serving
        self._world = serving.world
        self._host = host
        self._node = host.node
        self._driver = LeaderDriver(host.node, self._do, self, Ledger(*serving.quarantine), self._judged)
        self._look_at = float("inf")
        self._requested = ""
        self.server: LlamaServer | None = None

    def _do(self, step: Input) -> None:
        self._world.perform(self._host, step(self._now()))

    def _now(self) -> float:
        """What the host's clock shows."""
        return self._host.local(self._world.now)

    def look_soon(self) -> None:
        """Something changed: decide once all that changes with it has changed."""
        self._look_by(self._world.now + _SOON)

    def _look_by(self, when: float) -> None:
        if when < self._look_at:
            self._look_at = when
            self._world.on(self._host, when, lambda: self._look(when))

    def _look(self, when: float) -> None:
        if when != self._look_at:
            return
        self._look_at = float("inf")
        now = self._now()
        view = self._driver.view(now)
        if not (view.leading or view.asked or view.running) and self._driver.memory == ReconcilerMemory():
            return
        decision = self._driver.decide(now, view)
        for action in decision.actions:
            self._perform(action, view)
        self._look_by(self._world.now + pause(now, decision))

    # --- what the driver asks

    def running(self) -> Running | None:
        server = self.server
        if server is None:
            return None
        return Running(
            server.wanted, server.plan, server.phase, server.progress, server.reason, server.answers,
            server.load_seconds,
        )  # fmt: skip

    def asked(self) -> str:
        return self._requested

    def model_info(self, root: bytes, projector: bytes = b"") -> ModelInfo | None:
        held = any(model.root == root for model in self._host.profile.models)
        return self._serving.shapes[root] if held else None

    def lost(self, root: bytes) -> str:
        """No file is lost."""
        return ""

    def copying(self) -> Copying | None:
        """Nothing is copied."""
        return None

    # --- the actions

    def request_move(self, when: str) -> None:
        """A person requests the best placement: "now" or "idle"."""
        self._requested = when
        self.look_soon()

    @property
    def leads(self) -> bool:
        """Whether its host leads."""
        return self._driver.leads

    def _perform(self, action: Action, view: View) -> None:
        match action:
            case Start():
                self._start(action)
            case Stop():
                if self.server is not None:
                    self._serving.stopped(self._host, view)
                    self.server.stop()
                    self.server = None
            case ResolveMove():
                self._requested = ""
            case Drain():
                pass  # the model of llama-server admits requests at all times
            case HandOver():
                with suppress(MeshError):
                    self._driver.perform(action)
            case _:
                self._driver.perform(action)

    def _start(self, start: Start) -> None:
        claim = self._node.leader()
        if claim is None:
            return
        self.server = LlamaServer(
            self._world, self._serving.wire, self._serving, self._host,
            start.wanted, start.plan, claim.term, self.look_soon, self._tunnel_broke, self._stood_still,
            self._refused_memory,
        )  # fmt: skip
        self.server.start()

    def _tunnel_broke(self, worker: NodeId, reason: str, cut: bool) -> None:
        until = self._host.local(self._world.now + _UNREACHABLE)
        self._driver.connection_lost(self._now(), worker, until, reason, cut=cut)

    def _stood_still(self, worker: NodeId, reason: str) -> None:
        self._driver.stood_still(self._now(), worker, reason)

    def _refused_memory(self, worker: NodeId, reason: str) -> None:
        self._driver.refused_memory(self._now(), worker, reason)

    def _judged(self, judged: Judgement) -> None:
        self._serving.judged(self._host, judged)
