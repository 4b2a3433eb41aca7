"""A deterministic world for real Nodes: one heap of events, a clock, a network with faults, disks that keep.

Everything follows from the seed: the same seed and parameters give the same run, event by event. Nothing here
judges; checkers (simulations.checkers) look on from outside.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from mesh.protocol.effects import Effect, Event, Persist, ProbeStream, Send, SendStream, SetTimer, Tell
from mesh.protocol.node import Node
from mesh.protocol.settings import Settings
from mesh.wire.endpoint import Endpoint
from mesh.wire.facts import Profile
from mesh.wire.identity import NodeId
from mesh.wire.rights import ALL_RIGHTS, Rights
from simulations.signing import KeyedHash, verify

PORT = 50052


@dataclass(slots=True)
class Network:
    """What the network does to datagrams; delays in seconds, loss as a probability for each datagram."""

    delay: float = 0.0005
    jitter: float = 0.0005
    loss: float = 0.0
    sides: dict[int, int] = field(default_factory=dict)
    """On which side of a partition each host is; hosts that are not named are on side 0."""

    def connects(self, a: int, b: int) -> bool:
        return self.sides.get(a, 0) == self.sides.get(b, 0)


class Host:
    """A machine: its disk, its address, and the Node that runs on it, if one does."""

    def __init__(self, number: int, rank: int) -> None:
        self.number = number
        self.signer = KeyedHash(number)
        self.disk: dict[str, bytes] = {}
        self.profile = Profile(name=f"host{number}", addresses=(address(number),), rank=rank)
        self.node: Node | None = None
        self.run = 0
        self.paused_until = 0.0

    @property
    def id(self) -> NodeId:
        return self.signer.id


def address(number: int) -> Endpoint:
    """The address of a host."""
    return Endpoint(f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", PORT)


Observer = Callable[["World", Host, Event], None]


class World:
    """Hosts, their network and the heap of what is to happen."""

    def __init__(self, seed: int, settings: Settings | None = None) -> None:
        self.random = random.Random(seed)
        self.settings = settings or Settings()
        self.network = Network()
        self.now = 0.0
        self.hosts: list[Host] = []
        self.observers: list[Observer] = []
        self.events = 0
        self.bytes_sent: Counter[int] = Counter()
        self._by_address: dict[Endpoint, Host] = {}
        self._by_id: dict[NodeId, Host] = {}
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0

    # --- the heap

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Let something happen at that time."""
        self._order += 1
        heapq.heappush(self._heap, (max(when, self.now), self._order, action))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        until = self.now + seconds
        while self._heap and self._heap[0][0] <= until:
            self.now, _, action = heapq.heappop(self._heap)
            action()
        self.now = until

    def run_until(self, condition: Callable[[], bool], limit: float, step: float = 0.05) -> bool:
        """Let time pass until the condition holds; False when it does not within ``limit`` seconds."""
        until = self.now + limit
        while not condition():
            if self.now >= until:
                return False
            self.run(step)
        return True

    # --- hosts

    def add(self, rank: int = 1) -> Host:
        """A machine that runs nothing yet."""
        host = Host(len(self.hosts), rank)
        self.hosts.append(host)
        self._by_address[address(host.number)] = host
        self._by_id[host.id] = host
        return host

    def host_of(self, id: NodeId) -> Host:
        return self._by_id[id]

    def found(self, host: Host) -> None:
        """The host founds a pool and starts."""
        node = self._boot(host)
        self.perform(host, node.found(self.now))
        self.perform(host, node.start(self.now, host.profile))

    def join(self, host: Host, owner: Host, rights: Rights = ALL_RIGHTS) -> None:
        """The owner vouches for the host, which starts and greets it."""
        assert owner.node is not None
        self.perform(owner, owner.node.vouch(self.now, host.signer.public_key, rights))
        node = self._boot(host)
        self.perform(host, node.admit(self.now, owner.node.chain(host.id)))
        self.perform(host, node.start(self.now, host.profile))
        self.perform(host, node.meet(self.now, [address(owner.number)]))

    def crash(self, host: Host) -> None:
        """The process is gone, what is on the disk stays."""
        host.node = None
        host.run += 1
        host.paused_until = 0.0

    def restart(self, host: Host) -> None:
        """The process starts again from the disk and greets the addresses that it had known."""
        node = self._boot(host)
        self.perform(host, node.start(self.now, host.profile))
        others = [address(other.number) for other in self.hosts if other is not host]
        self.perform(host, node.meet(self.now, self.random.sample(others, min(8, len(others)))))

    def pause(self, host: Host, seconds: float) -> None:
        """The process stands still; what comes meanwhile waits for it."""
        host.paused_until = max(host.paused_until, self.now + seconds)

    def leave(self, host: Host) -> None:
        """The process says goodbye and ends."""
        assert host.node is not None
        self.perform(host, host.node.leave(self.now))
        self.crash(host)

    def running(self) -> list[Host]:
        return [host for host in self.hosts if host.node is not None]

    def _boot(self, host: Host) -> Node:
        host.run += 1
        host.node = Node(
            self.settings, host.signer, verify, random.Random(self.random.getrandbits(64)), host.disk
        )
        return host.node

    # --- effects

    def perform(self, host: Host, effects: list[Effect]) -> None:
        """Do what a Node asked for, in order; observers see each event as it is told."""
        for effect in effects:
            if isinstance(effect, Send):
                self._send(host, effect)
            elif isinstance(effect, SetTimer):
                self._set_timer(host, effect)
            elif isinstance(effect, Persist):
                host.disk[effect.key] = effect.value
            elif isinstance(effect, Tell):
                for observer in self.observers:
                    observer(self, host, effect.event)
            elif isinstance(effect, SendStream):
                self._send_stream(host, effect)
            else:
                self._probe_stream(host, effect)

    def _for(self, host: Host, when: float, step: Callable[[Node], list[Effect]]) -> None:
        """Let a step of this run of the host's Node happen at that time, or when its pause is over."""
        run = host.run

        def happen() -> None:
            if host.run != run or host.node is None:
                return
            if self.now < host.paused_until:
                self.at(host.paused_until, happen)
                return
            self.events += 1
            self.perform(host, step(host.node))

        self.at(when, happen)

    def _set_timer(self, host: Host, effect: SetTimer) -> None:
        self._for(host, effect.at, lambda node: node.fire(self.now, effect.timer))

    def _latency(self) -> float:
        return self.network.delay + self.network.jitter * self.random.random()

    def _send(self, host: Host, effect: Send) -> None:
        self.bytes_sent[host.number] += len(effect.payload)
        target = self._by_address.get(effect.endpoint)
        lost = self.network.loss > 0 and self.random.random() < self.network.loss
        if target is None or lost or not self.network.connects(host.number, target.number):
            return
        source, payload = address(host.number), effect.payload
        self._for(target, self.now + self._latency(), lambda node: node.receive(self.now, source, payload))

    def _send_stream(self, host: Host, effect: SendStream) -> None:
        target = self._by_id.get(effect.to)
        if target is None or not self.network.connects(host.number, target.number):
            return
        sender, payload = host.id, effect.payload
        delay = 3 * self._latency()
        self._for(target, self.now + delay, lambda node: node.receive_stream(self.now, sender, payload))

    def _probe_stream(self, host: Host, effect: ProbeStream) -> None:
        """TCP: a running process answers, a machine without one refuses, a cut network says nothing."""
        target = self._by_address.get(effect.endpoint)
        if target is None or not self.network.connects(host.number, target.number):
            return
        ok = target.node is not None
        if ok and self.now < target.paused_until:
            return
        to, token, delay = effect.to, effect.token, 3 * self._latency()
        self._for(
            host,
            self.now + delay,
            lambda node: node.probe_result(self.now, to, token, ok, refused=not ok),
        )
