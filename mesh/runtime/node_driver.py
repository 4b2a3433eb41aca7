"""The driver of the pure Node: it hands in datagrams, streams and timers, and performs the effects.

Every input goes through ``do``: it reads the clock, the Node returns effects, and ``do`` performs these in
order before anything else happens. Durable writes are on the disk before a later effect leaves; while the
disk owes one, none leaves (`mesh.runtime.durability`).
"""

import heapq
import logging
from collections.abc import Callable, Mapping
from typing import Concatenate, ParamSpec

import trio

from mesh.net.datagrams import Datagrams
from mesh.net.gossip_streams import StreamMessages
from mesh.net.streams import ProbeAnswer, Streams
from mesh.protocol.base.effects import (
    Effect,
    Expelled,
    GateChanged,
    LeaderChanged,
    MemberLost,
    Notice,
    Persist,
    ProbeStream,
    Send,
    SendStream,
    SetTimer,
    Tell,
    Timer,
)
from mesh.protocol.membership.peers import PRESENT
from mesh.protocol.node.node import Node
from mesh.runtime.change_signal import ChangeSignal
from mesh.runtime.clock import now
from mesh.runtime.durability import DurabilityGate
from mesh.runtime.node_context import NodeContext
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError
from mesh.wire.facts import Claim
from mesh.wire.identity import NodeId, PoolId, id_text

log = logging.getLogger(__name__)

P = ParamSpec("P")
MAX_PROBES = 16
PROBE_SECONDS = 2.0
# Seconds of one sleep at most: trio's clock stops while the machine sleeps, ours does not.
LONGEST_NAP = 0.5


class NodeDriver:
    """Runs one Node. ``run`` owns all its tasks; ``do`` may be called from any of them."""

    def __init__(
        self,
        pool: PoolId,
        node: Node,
        datagrams: Datagrams,
        streams: Streams,
        persist: Callable[[str, bytes], None],
        changes: ChangeSignal,
        set_holder: Callable[[Claim | None], None],
    ) -> None:
        self.pool = pool
        self.node = node
        self.changes = changes
        self._datagrams = datagrams
        self._streams = streams
        self._durability = DurabilityGate(persist)
        self._set_holder = set_holder
        self._timers: list[tuple[float, int, Timer]] = []
        self._timer_count = 0
        self._sooner = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._probes = 0
        self._trusted: Mapping[NodeId, bytes] = {}
        self.on_lost: Callable[[MemberLost], None] = lambda lost: None
        """Called when a node is a member no longer, after its streams were cut."""
        self.on_expelled: Callable[[Expelled], None] = lambda expelled: None
        """Called when this very node is a member no longer."""
        self.messages = StreamMessages(streams, self._stream_message, self._stream_reset)

    @classmethod
    def of(
        cls, context: NodeContext, pool: PoolId, node: Node, set_holder: Callable[[Claim | None], None]
    ) -> "NodeDriver":
        """The driver of this machine's ``node`` in ``pool``."""

        def persist(key: str, value: bytes) -> None:
            context.state.persist(pool, key, value)

        return cls(pool, node, context.datagrams, context.streams, persist, context.changes, set_holder)

    def do(
        self, step: Callable[Concatenate[float, P], list[Effect]], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Pass one input to the Node and perform its effects."""
        was_fenced = self._durability.fenced
        self._durability.settle(now())
        if was_fenced and not self._durability.fenced:
            self._set_holder(self.node.holder(now()))
        for effect in step(now(), *args, **kwargs):
            self._perform(effect)

    def command(
        self, step: Callable[Concatenate[float, P], list[Effect]], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Do so for a person's command; raise MeshError when its result is not on the disk."""
        self.do(step, *args, **kwargs)
        if self._durability.fenced and self.trouble is not None:
            raise self.trouble

    @property
    def fenced(self) -> bool:
        """Whether the disk owes a durable write, so that the others must consider this node gone."""
        return self._durability.fenced

    @property
    def trouble(self) -> MeshError | None:
        """Why the disk takes no durable write; None when it does."""
        return self._durability.trouble

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Send() | SendStream() | ProbeStream() if self._durability.fenced:
                pass
            case Send(endpoint=endpoint, payload=payload):
                self._datagrams.send(endpoint, payload)
            case SetTimer(timer=timer, at=at):
                self._timer_count += 1
                heapq.heappush(self._timers, (at, self._timer_count, timer))
                self._sooner.set()
            case Persist(key=key, value=value):
                self._durability.write(now(), key, value)
            case SendStream(to=to, endpoint=endpoint, payload=payload):
                self.messages.send(to, list(dict.fromkeys([*self.endpoints(to), endpoint])), payload)
            case ProbeStream():
                self._probe_soon(effect)
            case Tell(event=Notice(level=level, text=text)):
                log.log(logging.getLevelNamesMapping().get(level.upper(), logging.INFO), "%s", text)
            case Tell(event=GateChanged(claim=claim)):
                # At once: no byte of an older claim may pass after a newer one's grant.
                self._set_holder(None if self._durability.fenced else claim)
                self.changes.notify()
            case Tell(event=LeaderChanged(claim=claim)):
                who = "nobody" if claim is None else f"{id_text(claim.author)[:8]} in term {claim.term}"
                log.info("%s leads", who)
                self.changes.notify()
            case Tell(event=MemberLost() as lost):
                by = "with its voucher" if lost.by is None else f"evicted by {lost.by_name}"
                log.warning("%s (%s) is out of the pool, %s", lost.name, id_text(lost.id), by)
                self._keep_trust()
                self.on_lost(lost)
                self.changes.notify()
            case Tell(event=Expelled() as expelled):
                self.on_expelled(expelled)
            case Tell():
                self._keep_trust()
                self._drop_old_words()
                self.changes.notify()

    def endpoints(self, member: NodeId) -> list[Endpoint]:
        """Addresses of a member: the one that answered last, then those of its record."""
        known = self.node.member(member)
        if known is None:
            return []
        addresses = list(known.record.profile.addresses) if known.record else []
        if known.endpoint is not None:
            addresses.insert(0, known.endpoint)
        return list(dict.fromkeys(addresses))

    def _keep_trust(self) -> None:
        keys = self.node.keys()
        if keys != self._trusted:
            self._trusted = dict(keys)
            self._streams.trust(self._trusted)

    def _drop_old_words(self) -> None:
        """Of a member that is present its record says which program it runs, not a stream of before."""
        for id in tuple(self._streams.versions):
            member = self.node.member(id)
            if member is not None and member.state in PRESENT:
                del self._streams.versions[id]

    # --- the tasks --------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        self._keep_trust()
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._receive_datagrams)
            nursery.start_soon(self._fire_timers)
            nursery.start_soon(self.messages.run)
            task_status.started()

    async def _receive_datagrams(self) -> None:
        while True:
            source, payload = await self._datagrams.receive()
            self.do(self.node.receive, source, payload)

    def refused(self, endpoint: Endpoint) -> None:
        """The machine at ``endpoint`` reported that no process listens on the port any more."""
        for member in self.node.members():
            if member.endpoint == endpoint:
                self.do(self.node.connection_reset, member.id)

    async def _fire_timers(self) -> None:
        while True:
            time = now()
            while self._timers and self._timers[0][0] <= time:
                _, _, timer = heapq.heappop(self._timers)
                self.do(self.node.fire, timer)
            self._sooner = trio.Event()
            nap = min(LONGEST_NAP, self._timers[0][0] - now()) if self._timers else LONGEST_NAP
            with trio.move_on_after(max(0.0, nap)):
                await self._sooner.wait()

    def _stream_message(self, peer: NodeId, payload: bytes) -> None:
        self.do(self.node.receive_stream, peer, payload)

    def _stream_reset(self, peer: NodeId) -> None:
        self.do(self.node.connection_reset, peer)

    def _probe_soon(self, probe: ProbeStream) -> None:
        if self._nursery is None or self._probes >= MAX_PROBES:
            return
        self._probes += 1
        self._nursery.start_soon(self._probe, probe)

    async def _probe(self, probe: ProbeStream) -> None:
        """A TCP probe: a process that completes the handshake with the member's key is alive."""
        try:
            answer = await self._streams.probe(probe.to, [probe.endpoint], PROBE_SECONDS)
        finally:
            self._probes -= 1
        alive, refused = answer is ProbeAnswer.ALIVE, answer is ProbeAnswer.NOBODY
        self.do(self.node.probe_result, probe.to, probe.token, alive, refused)
