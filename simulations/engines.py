"""Simple models of what serves: a worker's gate and rpc-server, a leader's llama-server, the tunnels.

They behave as measurements showed the real ones to. rpc-server has one client at a time and dies with its
host. llama-server loads for some seconds and aborts when the tunnel to a used worker breaks. It waits for
ever when one falls silent, until its watchdog ends it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from leader.placement.planner import Plan
from leader.reconcile.view import Wanted
from mesh.wire.facts import Claim
from mesh.wire.identity import NodeId
from mesh.wire.states import Phase
from simulations.hosts import Host
from simulations.unruly import Manner, Manners
from simulations.world import World
from worker.fence import Fence

Key = tuple[NodeId, int]
"""A stream's owner: the author and the term of its claim."""
BytesPass = Callable[[Host, Key], None]

_OPENING = 10.0
_RETRY = 0.3
_LOAD_STEP, _TOKEN_STEP = 0.5, 1.0
_PATIENCE = 5.0
_IN_LOAD, _AFTER_LOAD = 0.7, 6.0
"""Seconds after its client has connected in which an unruly rpc-server misbehaves."""
_NOTICED = 2.0
"""Seconds until the sidecar beside a stopped process finds that, and kills it."""


class _Site(Protocol):
    """Where a host's gate is, if it runs."""

    def gate(self, host: Host) -> Gate | None: ...


class Wire:
    """TCP as far as it matters: bytes arrive once, late while the path is cut, or the end breaks."""

    def __init__(self, world: World) -> None:
        self._world = world

    def carry(
        self,
        source: Host,
        target: Host,
        target_run: int,
        arrive: Callable[[], None],
        broken: Callable[[], None],
    ) -> None:
        """Call ``arrive`` in that process of the target, or ``broken`` in the source's present one."""
        self._try(source, source.run, target, target_run, arrive, broken, self._world.now + _OPENING)

    def _try(
        self,
        source: Host,
        source_run: int,
        target: Host,
        target_run: int,
        arrive: Callable[[], None],
        broken: Callable[[], None],
        until: float,
    ) -> None:
        world = self._world
        if source.run != source_run or source.node is None:
            return
        latency = 3 * world.network.latency(world.random)
        if not target.powered or not world.linked(source, target):
            if world.now >= until:
                broken()
                return
            again = (source, source_run, target, target_run, arrive, broken, until)
            world.at(world.now + _RETRY, lambda: self._try(*again))
        elif target.node is None or target.run != target_run:
            world.on(source, world.now + latency, broken)
        else:
            world.on(target, world.now + latency, arrive)


@dataclass(eq=False)
class Tunnel:
    """A stream from a leader's llama-server through a worker's gate to its rpc-server."""

    leader: Host
    worker: Host
    worker_run: int
    key: Key
    on_open: Callable[[], None]
    on_acknowledged: Callable[[], None]
    on_refused: Callable[[], None]
    """rpc-server has not the memory that it is asked for."""
    on_broken: Callable[[str], None]
    closed: bool = False
    cut: bool = False
    """Whether it was not the worker's end that ended it."""


class Gate:
    """Passes the streams that the worker's fence admits, one after another, to the rpc-server behind it."""

    def __init__(self, world: World, wire: Wire, host: Host, passes: BytesPass, manners: Manners) -> None:
        self._manners = manners
        self._world = world
        self._wire = wire
        self._host = host
        self._passes = passes
        self._fence: Fence[Tunnel] = Fence()
        self._stopped = False
        self._mute = False

    @property
    def busy(self) -> bool:
        """Whether rpc-server has a client."""
        return bool(self._fence.streams)

    def set_holder(self, claim: Claim | None) -> None:
        """Cut the streams of other claims before any of this one is admitted."""
        self._cut(self._fence.set_holder(claim))
        self._serve_next()

    def _cut(self, tunnels: list[Tunnel]) -> None:
        for tunnel in tunnels:
            self._break(tunnel, "cut by the worker's gate")

    def open(self, tunnel: Tunnel) -> None:
        """Let a stream ask to pass, unless its end overtook it on the way: then it is over already."""
        if tunnel.closed:
            return
        if not self._fence.admits(*tunnel.key):
            self._break(tunnel, "refused by the worker's gate")
            return
        if self._manners.of(self._host) is Manner.REFUSES:
            self._manners.failed(self._host, self._world.now)
            self._break(tunnel, "refused by the worker's gate")
            return
        self._cut(self._fence.admit(tunnel, *tunnel.key))
        if self._fence.streams[0] is tunnel and not self._stopped:
            self._back(tunnel, tunnel.on_open)
            self._misbehave(tunnel)

    def _misbehave(self, tunnel: Tunnel) -> None:
        """An unruly rpc-server has a client: let it do what it does."""
        acts: dict[Manner, tuple[float, Callable[[], None]]] = {
            Manner.FAILS: (_IN_LOAD, self.restart_engine),
            Manner.DIES: (_AFTER_LOAD, self.restart_engine),
            Manner.STANDS: (_IN_LOAD, self._answer_no_more),
            Manner.STOPS: (_AFTER_LOAD, self._answer_no_more),
            Manner.LACKS: (_IN_LOAD, partial(self._refuse_memory, tunnel)),
        }
        if found := acts.get(self._manners.of(self._host)):
            wait, act = found
            self._world.on(self._host, self._world.now + wait, partial(self._if_admitted, tunnel, act))

    def _if_admitted(self, tunnel: Tunnel, act: Callable[[], None]) -> None:
        if tunnel in self._fence.streams:
            act()

    def _answer_no_more(self) -> None:
        """It takes bytes and does not answer; its own sidecar finds nothing wrong."""
        self._manners.failed(self._host, self._world.now)
        self._mute = True

    def _refuse_memory(self, tunnel: Tunnel) -> None:
        """It answers that there is no such memory, and lives on."""
        self._manners.failed(self._host, self._world.now)
        self._back(tunnel, tunnel.on_refused)

    def pass_bytes(self, tunnel: Tunnel) -> None:
        """Pass bytes of a stream to rpc-server, which answers."""
        admitted = self._fence.streams
        if tunnel not in admitted:
            self._break(tunnel, "reset")
        elif admitted[0] is tunnel:
            self._passes(self._host, tunnel.key)
            if self._mute:
                self._manners.failed(self._host, self._world.now)
            elif not self._stopped:
                self._back(tunnel, tunnel.on_acknowledged)

    def close(self, tunnel: Tunnel) -> None:
        """The leader's end is closed or gone; rpc-server is free for the next."""
        if tunnel in self._fence.streams:
            self._fence.remove(tunnel)
            self._mute = False
            self._serve_next()

    def stop_engine(self) -> None:
        """Stop rpc-server (SIGSTOP): it answers no client until its own sidecar finds that out."""
        if not self._stopped:
            self._stopped = True
            self._manners.failed(self._host, self._world.now)
            self._world.on(self._host, self._world.now + _NOTICED, self.restart_engine)

    def restart_engine(self) -> None:
        """rpc-server dies and starts again: its clients are cut off."""
        self._manners.failed(self._host, self._world.now)
        self._stopped = self._mute = False
        self._end_all("the worker's rpc-server ended")

    def cut_off(self, reason: str) -> None:
        """Its clients are cut off, by something between it and them."""
        for tunnel in self._fence.streams:
            tunnel.cut = True
        self._end_all(reason)

    def _end_all(self, reason: str) -> None:
        for tunnel in self._fence.streams:
            self._fence.remove(tunnel)
            self._break(tunnel, reason)

    def _break(self, tunnel: Tunnel, reason: str) -> None:
        self._back(tunnel, lambda: tunnel.on_broken(reason))

    def _serve_next(self) -> None:
        if self.busy and not self._stopped:
            first = self._fence.streams[0]
            self._back(first, first.on_open)

    def _back(self, tunnel: Tunnel, action: Callable[[], None]) -> None:
        def arrive() -> None:
            if not tunnel.closed:
                action()

        self._wire.carry(self._host, tunnel.leader, tunnel.leader.run, arrive, lambda: None)


@dataclass
class LlamaServer:
    """A leader's llama-server with its tunnels; ``phase`` is loading, ready or failed."""

    world: World
    wire: Wire
    site: _Site
    host: Host
    wanted: Wanted
    plan: Plan
    term: int
    changed: Callable[[], None]
    lost: Callable[[NodeId, str, bool], None]
    stuck: Callable[[NodeId, str], None]
    refused: Callable[[NodeId, str], None]
    phase: Phase = Phase.LOADING
    progress: float = 0.0
    reason: str = ""
    _tunnels: dict[NodeId, Tunnel] = field(default_factory=dict)
    _heard: dict[NodeId, float] = field(default_factory=dict)
    _loaded: int = 0
    answers_until: float = float("-inf")
    _stopped: bool = False

    @property
    def answers(self) -> int:
        """How many answers run."""
        return int(self.phase is Phase.READY and self.world.now < self.answers_until)

    @property
    def load_seconds(self) -> float:
        """How long it took, or will take, to load."""
        return self.load_steps * _LOAD_STEP

    def ask(self, seconds: float) -> None:
        """Request an answer that takes so long."""
        if self.phase is Phase.READY:
            self.answers_until = max(self.answers_until, self.world.now + seconds)
            self.world.on(self.host, self.answers_until, self.changed)

    def stop_process(self) -> None:
        """Stop it (SIGSTOP): it does nothing until its own sidecar finds that out."""
        if not self._stopped:
            self._stopped = True
            self.world.on(self.host, self.world.now + _NOTICED, lambda: self.abort("it was stopped"))

    @property
    def load_steps(self) -> int:
        """How long it loads, in half seconds: the more workers, the longer."""
        return 3 + len(self.plan.workers)

    def start(self) -> None:
        """Connect to every used worker, then load."""
        for worker in dict.fromkeys(self.plan.workers):  # one may have several devices
            self._connect(NodeId(worker))
        self._tick()

    def _connect(self, worker: NodeId) -> None:
        target = self.world.host_of(worker)

        def opened() -> None:
            self._heard[worker] = self.world.now

        def acknowledged() -> None:
            self._heard[worker] = self.world.now

        def refused() -> None:
            if self.phase is Phase.LOADING:
                reason = f"unable to allocate at {target.profile.name}"
                self.refused(worker, reason)
                self.abort(reason)

        def broken(reason: str) -> None:
            if self.phase is not Phase.FAILED:
                self.lost(worker, reason, tunnel.cut)
                self.abort(f"the tunnel to {target.profile.name} broke: {reason}")

        tunnel = Tunnel(
            self.host, target, target.run, (self.host.id, self.term), opened, acknowledged, refused, broken
        )
        self._tunnels[worker] = tunnel
        self._heard[worker] = float("-inf")
        self._send(tunnel, lambda gate: gate.open(tunnel))

    def _send(self, tunnel: Tunnel, action: Callable[[Gate], None]) -> None:
        def arrive() -> None:
            gate = self.site.gate(tunnel.worker)
            if gate is not None:
                action(gate)

        def unheard() -> None:
            tunnel.cut = True
            tunnel.on_broken("no connection")

        self.wire.carry(self.host, tunnel.worker, tunnel.worker_run, arrive, unheard)

    def _tick(self) -> None:
        if self.phase is Phase.FAILED or self._stopped:
            return
        now = self.world.now
        if self.phase is Phase.LOADING and all(at > float("-inf") for at in self._heard.values()):
            self._loaded += 1
            self.progress = min(1.0, self._loaded / self.load_steps)
            if self._loaded >= self.load_steps:
                self.phase = Phase.READY
            self.changed()
        silent = [worker for worker, at in self._heard.items() if float("-inf") < at < now - _PATIENCE]
        if silent:
            reason = f"no progress for {_PATIENCE:.0f} s"
            for worker in silent:
                self.stuck(worker, f"its rpc-server made {reason}")
            self.abort(reason)
            return
        for worker, tunnel in self._tunnels.items():
            if self._heard[worker] > float("-inf"):
                self._send(tunnel, lambda gate, tunnel=tunnel: gate.pass_bytes(tunnel))  # type: ignore[misc]
        step = _LOAD_STEP if self.phase is Phase.LOADING else _TOKEN_STEP
        self.world.on(self.host, now + step, self._tick)

    def lose_all(self, reason: str) -> None:
        """All its connections break at once: something is wrong with its machine, or beside it."""
        if self.phase is not Phase.FAILED:
            for worker in self._tunnels:
                self.lost(worker, reason, True)
            self.abort(reason)

    def abort(self, reason: str) -> None:
        """It ends by itself, or is killed."""
        if self.phase is Phase.FAILED:
            return
        self.phase, self.reason = Phase.FAILED, reason
        self.close()
        self.changed()

    def stop(self) -> None:
        """End it, on the reconciler's order."""
        self.phase, self.reason = Phase.FAILED, "stopped"
        self.close()

    def close(self) -> None:
        """Close all its connections, which end with it."""
        for tunnel in self._tunnels.values():
            if not tunnel.closed:
                tunnel.closed = True
                self._hang_up(tunnel)

    def _hang_up(self, tunnel: Tunnel) -> None:
        """The kernel closes the connection, and repeats that until the worker's end hears it."""

        def arrive() -> None:
            gate = self.site.gate(tunnel.worker)
            if gate is not None:
                gate.close(tunnel)

        def unheard() -> None:
            if tunnel.worker.run == tunnel.worker_run:
                self._hang_up(tunnel)

        self.wire.carry(self.host, tunnel.worker, tunnel.worker_run, arrive, unheard)

    def host_crashed(self) -> None:
        """The kernel of the crashed leader closes its connections, if it still runs."""
        if self.phase is Phase.FAILED:
            return
        self.phase = Phase.FAILED
        for tunnel in self._tunnels.values():
            tunnel.closed = True
            world, worker = self.world, tunnel.worker
            if self.host.powered and worker.run == tunnel.worker_run and world.linked(self.host, worker):
                gate = self.site.gate(worker)
                if gate is not None:
                    when = world.now + world.network.latency(world.random)
                    world.on(worker, when, lambda gate=gate, tunnel=tunnel: gate.close(tunnel))  # type: ignore[misc]
