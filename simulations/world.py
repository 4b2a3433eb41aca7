"""A deterministic world for real Nodes: one heap of events, clocks, a network with faults, disks.

Everything follows from the seed: the same seed and parameters give the same run, event by event, and the same
trace hash. Nothing here judges; checkers (simulations.checkers) watch from outside.
"""

from __future__ import annotations

import heapq
import random
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any

from mesh.protocol.base.effects import Effect, Event, Persist, ProbeStream, Send, SendStream, SetTimer, Tell
from mesh.protocol.base.settings import Settings
from mesh.protocol.node.node import Node
from mesh.protocol.node.persisted import ACTS
from mesh.wire import identity as ed25519
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError
from mesh.wire.identity import NodeId
from mesh.wire.rights import ALL_RIGHTS, Rights
from simulations import signing
from simulations.hosts import PORT, Disk, Host, HostSigner, address
from simulations.network import LinkFault, Network
from simulations.signing import KeyedHash

__all__ = ["PORT", "Disk", "Host", "LinkFault", "Network", "Observer", "World", "address"]

Observer = Callable[["World", Host, Event], None]
Step = Callable[[Node], list[Effect]]
Tap = Callable[[Host, Host, bytes], None]
Arrival = Callable[[Host, bytes], None]

_heappush = heapq.heappush
_DATAGRAM, _TIMER, _STEP, _CALL = range(4)
_ANY_RUN = -1
"""A datagram reaches whichever process holds the port when it arrives."""
_PEERS = 64
"""The most addresses that a newcomer learns, as from a member's admission server."""
_FIRST_SPARE = 1 << 20
"""Addresses from here on are for machines that get another one."""
_INBOX = 512
"""Datagrams that wait for a process that stands still: as many small ones as a socket's buffer holds."""
_TRACE = struct.Struct("<dHB").pack
_TRACE_CHUNK = 1 << 16
_MOST_CHUNKS = 100
"""Bytes of the trace within a millisecond: about 500,000 events, far more than the largest pool needs."""
_HANDSHAKE = 4
"""Segments, one way each, until a TLS peer has proved its identity."""


class World:
    """Hosts, their network and the heap of future events.

    ``observers`` are called with every event of a Node, ``taps`` with every datagram sent, ``arrivals`` with
    every one that a process gets, ``on_crash`` with every process that ends, ``on_start`` with every start.
    """

    def __init__(self, seed: int, settings: Settings | None = None, curves: bool = False) -> None:
        """With ``curves`` Nodes sign with Ed25519 instead of a keyed hash."""
        self.random = random.Random(seed)
        self._draw = self.random.random
        self.settings = settings or Settings()
        self.network = Network()
        self.now = 0.0
        self.hosts: list[Host] = []
        self.observers: list[Observer] = []
        self.taps: list[Tap] = []
        self.arrivals: list[Arrival] = []
        self.on_crash: list[Callable[[Host], None]] = []
        self.on_start: list[Callable[[Host], None]] = []
        self.events = 0
        self.bytes_sent: Counter[int] = Counter()
        self.links_changed_at = 0.0
        """When ``set_faults`` was called last, or a machine got another address."""
        self.largest = 0
        """Bytes of the largest datagram that was sent."""
        self.keys: dict[NodeId, bytes] = {}
        """The public key of every identity that ever lived here."""
        self.granted: dict[NodeId, Rights] = {}
        """The rights that a voucher gave, by an owner with the right to issue it."""
        self.sponsors: dict[NodeId, list[NodeId]] = {}
        """The vouching owners of each; several where an owner died before it had reported it."""
        self.evictions: dict[NodeId, dict[NodeId, float]] = {}
        """The members that each owner evicted, and when; the Nodes decide whether that stands."""
        self._curves = curves
        self.verifier = self._verifier = ed25519.verify if curves else signing.verify
        self._sources: dict[int, random.Random] = {}
        self._by_address: dict[Endpoint, Host] = {}
        self._by_id: dict[NodeId, Host] = {}
        self._heap: list[tuple[float, int, Host | None, int, int, Any, Any]] = []
        self._order = 0
        self._addresses = _FIRST_SPARE
        self._hash = blake2b(digest_size=16)
        self._trace = bytearray()
        self._moved_at = 0.0
        self._chunks = 0

    # --- the heap

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Schedule an action of the world at that time."""
        self._push(max(when, self.now), None, 0, _CALL, action, None)

    def on(self, host: Host, when: float, action: Callable[[], None]) -> None:
        """Schedule an action of the host's present process, after its pause if any; never if it ended."""
        self._push(max(when, self.now), host, host.run, _CALL, action, None)

    def _push(self, when: float, host: Host | None, run: int, code: int, a: Any, b: Any) -> None:
        self._order += 1
        _heappush(self._heap, (when, self._order, host, run, code, a, b))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        until = self.now + seconds
        pop, trace = heapq.heappop, self._trace
        arrivals, perform = self.arrivals, self.perform
        while (heap := self._heap) and heap[0][0] <= until:
            event = pop(heap)
            now, _, host, run, code, a, b = event
            self.now = now
            if host is None:
                a()
                continue
            node = host.node
            if run != host.run and (run != _ANY_RUN or node is None):
                if run == _ANY_RUN:
                    self._unreachable(host, a)
                continue
            if node is None:
                continue
            if now < host.paused_until:
                self._wait(host, event)
                continue
            trace += _TRACE(now, host.number, code)
            if code == _DATAGRAM:
                trace += b
                for arrival in arrivals:
                    arrival(host, b)
                effects = node.receive(now * host.rate + host.offset, a, b)
            elif code == _TIMER:
                effects = node.fire(max(now * host.rate + host.offset, b), a)
            elif code == _STEP:
                effects = a(node)
            else:
                a()
                continue
            self.events += 1
            if effects:
                perform(host, effects)
            if len(trace) > _TRACE_CHUNK:
                self._flush()
        self.now = until

    def run_until(self, condition: Callable[[], bool], limit: float, step: float = 0.05) -> bool:
        """Let time pass until the condition holds; False when it does not within ``limit`` seconds."""
        until = self.now + limit
        while not condition():
            if self.now >= until:
                return False
            self.run(step)
        return True

    def digest(self) -> str:
        """The hash over all events so far, their times and contents: equal for equal runs."""
        self._hash.update(self._trace)
        self._trace.clear()
        return self._hash.hexdigest()

    def _flush(self) -> None:
        """Hash the trace so far; raises RuntimeError when events go on while time stands still."""
        self._hash.update(self._trace)
        self._trace.clear()
        if self.now > self._moved_at + 1e-3:
            self._moved_at, self._chunks = self.now, 0
        self._chunks += 1
        if self._chunks > _MOST_CHUNKS:
            raise RuntimeError(f"time stands still at {self.now:.3f}: a host wakes itself for ever")

    def _wait(self, host: Host, event: tuple[float, int, Host | None, int, int, Any, Any]) -> None:
        """The process stands still: the event waits, unless it is a datagram for which there is no room."""
        if not host.inbox:
            self.at(host.paused_until, lambda: self._wake(host))
        if event[4] != _DATAGRAM or len(host.inbox) < _INBOX:
            host.inbox.append(event)

    def _wake(self, host: Host) -> None:
        if self.now < host.paused_until:
            self.at(host.paused_until, lambda: self._wake(host))
            return
        # Timers first: a loop that was stopped may learn that time passed before it reads its datagrams.
        waiting, host.inbox = sorted(host.inbox, key=lambda event: event[4] == _DATAGRAM), []
        for _, _, _, run, code, a, b in waiting:
            self._push(self.now, host, run, code, a, b)

    def reseed(self, seed: int) -> None:
        """New random numbers for the world and for every Node from here on."""
        self.random.seed(seed)
        for source in self._sources.values():
            source.seed(self.random.getrandbits(64))

    # --- hosts

    def add(self, rank: int = 1) -> Host:
        """Add a machine that runs nothing yet."""
        number = len(self.hosts)
        host = Host(number, rank, self.signer(number))
        self.hosts.append(host)
        self._by_address[host.address] = host
        self._register(host)
        return host

    def signer(self, number: int) -> KeyedHash | ed25519.Identity:
        """A key pair that derives from the number."""
        return signing.identity(number) if self._curves else KeyedHash(number)

    def _register(self, host: Host) -> None:
        self._by_id[host.id] = host
        self.keys[host.id] = host.signer.public_key

    def host_of(self, id: NodeId) -> Host:
        """The host that has or had that identity."""
        return self._by_id[id]

    def found(self, host: Host) -> None:
        """The host founds a pool and starts."""
        self.boot(host)
        self.do(host, "found")
        self.granted[host.id] = ALL_RIGHTS
        self._start(host)

    def join(self, host: Host, owner: Host, rights: Rights = ALL_RIGHTS) -> None:
        """The owner vouches for the host and gives it members' addresses; it starts and greets them."""
        self._act(owner, "vouch", host.signer.public_key, rights)
        self.vouched(owner, host.signer, rights)
        if owner.node is None:
            raise MeshError("The owner's process died before it had answered")
        self.boot(host)
        self.do(host, "admit", owner.node.chain(host.id))
        if host.node is None:
            return
        self._start(host)
        known = (member.endpoint for member in owner.node.members() if member.endpoint is not None)
        self.do(host, "add_seeds", [owner.address, *known][:_PEERS])

    def vouched(self, owner: Host, newcomer: HostSigner, rights: Rights) -> None:
        """Note that the owner vouched for that key; where no host has it, the owner plays that member too."""
        self._by_id.setdefault(newcomer.id, owner)
        self.keys[newcomer.id] = newcomer.public_key
        self.granted[newcomer.id] = self.granted.get(newcomer.id, Rights(0)) | rights
        self.sponsors.setdefault(newcomer.id, []).append(owner.id)

    def _act(self, owner: Host, step: str, *arguments: Any) -> None:
        """Perform an act of an owner; MeshError too if its process died before that was on its disk."""
        before = owner.disk.get(ACTS)
        self.do(owner, step, *arguments)
        if owner.node is None and owner.disk.get(ACTS) == before:
            raise MeshError("The owner's process died before that was on its disk")

    def evict(self, owner: Host, subject: NodeId) -> None:
        """The owner evicts a member for ever; MeshError where it may not."""
        evicted = self.evictions.setdefault(owner.id, {})
        known = subject in evicted
        evicted.setdefault(subject, self.now)  # before gates close and leaders change because of it
        try:
            self._act(owner, "evict", subject)
        except MeshError:
            if not known:
                del evicted[subject]
            raise

    def is_disputed(self, id: NodeId) -> bool:
        """Whether any owner ever evicted that member, or a member on one of its chains to the founder."""
        chain = [id]
        for each in chain:
            if any(each in subjects for subjects in self.evictions.values()):
                return True
            chain += self.sponsors.get(each, ())
        return False

    def crash(self, host: Host, silent: bool = False) -> None:
        """End the process; its disk stays. ``silent``: the machine too, so no kernel refuses datagrams."""
        host.powered = not silent
        for watch in self.on_crash:
            watch(host)
        host.node = None
        host.run += 1
        host.paused_until = 0.0
        host.inbox.clear()

    def restart(self, host: Host) -> None:
        """The process starts again from the disk and greets the addresses that it had known."""
        self.boot(host)
        self._start(host)
        others = [other.address for other in self.hosts if other is not host]
        self.do(host, "add_seeds", self.random.sample(others, min(8, len(others))))

    def wipe(self, host: Host) -> None:
        """A host that does not run loses its disk and its key: it is another member when it joins."""
        assert host.node is None
        host.disk = Disk()
        host.signer = self.signer(len(self.keys) + 1_000_000)
        self._register(host)

    def pause(self, host: Host, seconds: float) -> None:
        """The process stands still; its events wait meanwhile."""
        host.paused_until = max(host.paused_until, self.now + seconds)

    def resume(self, host: Host) -> None:
        """End a pause now."""
        if host.paused_until > self.now:
            host.paused_until = self.now
            self.at(self.now, lambda: self._wake(host))

    def jump(self, host: Host, seconds: float) -> None:
        """The clock of the host leaps ahead; timers that are due by it fire at once."""
        host.offset += seconds
        moved = [event for event in self._heap if event[2] is host and event[4] == _TIMER]
        for when, _, _, run, code, timer, due in moved:
            self._push(max(self.now, min(when, host.world_time(due))), host, run, code, timer, due)

    def readdress(self, hosts: Sequence[Host]) -> None:
        """Machines exchange their addresses, in a ring; one alone gets a new one. What was under way is lost.

        Their processes run on, and others learn of it from what they send or publish.
        """
        addresses = [host.address for host in hosts]
        if len(hosts) == 1:
            self._addresses += 1
            del self._by_address[addresses[0]]
            addresses.append(address(self._addresses))
        for host, new in zip(hosts, addresses[1:] + addresses[:1], strict=False):
            host.readdress(new)
            self._by_address[new] = host
        self.links_changed_at = self.now
        moved = set(hosts)
        self._heap = [event for event in self._heap if event[4] != _DATAGRAM or event[2] not in moved]
        heapq.heapify(self._heap)

    def leave(self, host: Host) -> None:
        """The process says goodbye and ends."""
        self.do(host, "leave")
        if host.node is not None:
            self.crash(host)

    def running(self) -> list[Host]:
        return [host for host in self.hosts if host.node is not None]

    def do(self, host: Host, step: str, *arguments: Any) -> None:
        """Feed the host's Node one input by its name, ``now`` read from its clock; none if that is gone."""
        if host.node is not None:
            self.perform(host, getattr(host.node, step)(host.local(self.now), *arguments))

    def boot(self, host: Host) -> None:
        """Start a Node from the host's disk, without an input yet."""
        host.run += 1
        host.powered = True
        source = self._sources[host.number] = random.Random(self.random.getrandbits(64))
        speaks, later = host.program.speaks, host.program.later
        host.node = Node(self.settings, host.signer, self.verifier, source, dict(host.disk), speaks, later)

    def _start(self, host: Host) -> None:
        for watch in self.on_start:
            watch(host)
        self.do(host, "start", host.profile)

    # --- effects

    def perform(self, host: Host, effects: list[Effect]) -> None:
        """Perform a Node's effects, in order; observers see each event as the Node reports it."""
        for effect in effects:
            if isinstance(effect, Send):
                self._send(host, effect)
            elif isinstance(effect, SetTimer):
                timer, due = effect.timer, effect.at
                when = due if host.rate == 1.0 and not host.offset else (due - host.offset) / host.rate
                if when < self.now:
                    when = self.now
                self._order += 1
                _heappush(self._heap, (when, self._order, host, host.run, _TIMER, timer, due))
            elif isinstance(effect, Tell):
                for observer in self.observers:
                    observer(self, host, effect.event)
            elif isinstance(effect, Persist):
                torn, host.torn = host.torn, None
                if torn is None or self._draw() < 0.5:
                    self._trace += effect.value
                    host.disk.write(self.now, effect.key, effect.value)
                if torn is not None:
                    self.crash(host)
                    torn()
                    return
            elif isinstance(effect, SendStream):
                self._send_stream(host, effect)
            elif isinstance(effect, ProbeStream):
                self._probe_stream(host, effect)

    def _send(self, host: Host, effect: Send) -> None:
        payload = effect.payload
        size = len(payload)
        self.bytes_sent[host.number] += size
        if size > self.largest:
            self.largest = size
        target = self._by_address.get(effect.endpoint)
        if target is None:
            return
        for tap in self.taps:
            tap(host, target, payload)
        if target.stands_in:
            self.answer_for(target, host, payload)
            return
        network = self.network
        if network.faulty or network.loss or network.sides:
            self._carry_badly(host, target, payload)
            return
        when = self.now + network.delay + network.jitter * self._draw()
        self._order += 1
        _heappush(self._heap, (when, self._order, target, _ANY_RUN, _DATAGRAM, host.address, payload))

    def answer_for(self, stand_in: Host, host: Host, payload: bytes) -> None:
        """A datagram for a host that runs no Node; a subclass may answer it, here nothing does."""

    def carry(self, source: Host, target: Host, payload: bytes) -> None:
        """Give a datagram to the network."""
        network = self.network
        if network.faulty or network.loss or network.sides:
            self._carry_badly(source, target, payload)
        else:
            when = self.now + network.delay + network.jitter * self._draw()
            self._push(when, target, _ANY_RUN, _DATAGRAM, source.address, payload)

    def _carry_badly(self, source: Host, target: Host, payload: bytes) -> None:
        network = self.network
        for when, data in network.passed(self.random, self.now, source.number, target.number, payload):
            self._push(when, target, _ANY_RUN, _DATAGRAM, source.address, data)

    def _unreachable(self, host: Host, source: Endpoint) -> None:
        """No process holds the port: the machine's kernel says so to the sender (ICMP)."""
        sender = self._by_address.get(source)
        if sender is None or not host.powered or sender.node is None:
            return
        if self.network.connects(host.number, sender.number):
            when, id = self.now + self.network.latency(self.random), host.id
            self.step(sender, when, lambda node: node.connection_reset(sender.local(self.now), id))

    def lose_late(self, seconds: float) -> None:
        """Lose the datagrams that would arrive later than so many seconds from now."""
        latest = self.now + seconds
        self._heap = [event for event in self._heap if event[4] != _DATAGRAM or event[0] <= latest]
        heapq.heapify(self._heap)

    def step(self, host: Host, when: float, step: Step) -> None:
        """Give the host's present Node an input at that time."""
        self._push(max(when, self.now), host, host.run, _STEP, step, None)

    def set_faults(self, faults: tuple[LinkFault, ...]) -> None:
        """Set the faults of links from now on."""
        self.network.faults = faults
        self.links_changed_at = self.now

    def linked(self, a: Host, b: Host) -> bool:
        """Whether TCP works between two hosts: something passes both ways."""
        network = self.network
        if not network.connects(a.number, b.number) or not network.connects(b.number, a.number):
            return False
        return not network.faults or all(
            path.loss < 0.9 and path.holds_until <= self.now
            for path in (network.path(a.number, b.number), network.path(b.number, a.number))
        )

    def _send_stream(self, host: Host, effect: SendStream) -> None:
        """To the first host with that key at an address that the sender knows, as the driver does."""
        ends = [self._by_address.get(endpoint) for endpoint in _endpoints(host, effect)]
        target = next((end for end in ends if end is not None and end.id == effect.to), None)
        if target is None or target.node is None or not self.linked(host, target):
            return
        self.bytes_sent[host.number] += len(effect.payload)
        sender, payload = host.id, effect.payload
        when = self.now + 3 * self.network.latency(self.random)
        self.step(target, when, lambda node: node.receive_stream(target.local(self.now), sender, payload))

    def _probe_stream(self, host: Host, effect: ProbeStream) -> None:
        """A TCP and a TLS handshake, which meet what datagrams meet; a process that stands still fails."""
        target = self._by_address.get(effect.endpoint)
        if target is None or not target.powered or self.now < target.paused_until:
            return
        segments = _HANDSHAKE if target.node is not None else 2
        when = self.network.exchanged(self.random, self.now, host.number, target.number, segments)
        if when is None:
            return
        ok = target.node is not None and target.id == effect.to
        to, token, refused = effect.to, effect.token, target.node is None
        self.step(
            host, when, lambda node: node.probe_result(host.local(self.now), to, token, ok, refused=refused)
        )


def _endpoints(host: Host, effect: SendStream) -> list[Endpoint]:
    """Where the driver looks for a stream's other end: at the known addresses, then at that of the effect."""
    member = None if host.node is None else host.node.member(effect.to)
    known = [] if member is None or member.endpoint is None else [member.endpoint]
    advertised = member.record.profile.addresses if member is not None and member.record is not None else ()
    return [*known, *advertised, effect.endpoint]
