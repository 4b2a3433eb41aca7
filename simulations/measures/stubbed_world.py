"""Very large pools: a hundred full Nodes, and stand-ins that only answer and ask as all the others would."""

from __future__ import annotations

from mesh.protocol.base.settings import Settings
from mesh.wire import messages
from mesh.wire.envelope import first_number, open_envelope, seal
from mesh.wire.facts import Record
from mesh.wire.identity import PoolId
from mesh.wire.messages import Ack, Message, Ping
from simulations.world import Host, World

FIRST_INCARNATION = 1


class StubbedWorld(World):
    """Hosts that run no Node answer pings, and ping the full ones as often as a pool of this size would.

    A stand-in echoes the set hash that it receives: it holds what the other holds.
    """

    def __init__(self, seed: int, settings: Settings | None = None) -> None:
        super().__init__(seed, settings)
        self._stubs: list[Host] = []
        self.pool = PoolId(bytes(16))
        self._sent = first_number(FIRST_INCARNATION)

    def record_of(self, stub: Host) -> Record:
        """The stand-in's own record."""
        return Record(self.pool, stub.id, FIRST_INCARNATION, bytes(8), 1, False, stub.profile)

    @property
    def stubs(self) -> list[Host]:
        """The hosts that run no Node; set to name them."""
        return self._stubs

    @stubs.setter
    def stubs(self, hosts: list[Host]) -> None:
        self._stubs = hosts
        for host in hosts:
            host.stands_in = True

    def answer_for(self, stand_in: Host, host: Host, payload: bytes) -> None:
        message = messages.decode(open_envelope(payload).body, messages.MAX_DATAGRAM)
        if isinstance(message, Ping):
            answer = Ack(message.token, message.summary, FIRST_INCARNATION, 0)
            self.carry(stand_in, host, self._sealed(stand_in, host, answer))

    def ask(self, full: Host) -> None:
        """Let the stand-ins ping a full Node from now on, in all as often as one member pings."""
        others = len(self.hosts) - 1
        period = self.settings.probe_period * others / len(self.stubs)
        self.at(self.now + period * self.random.random(), lambda: self._ask(full, period))

    def _ask(self, full: Host, period: float) -> None:
        if full.node is not None:
            stub = self.stubs[self.random.randrange(len(self.stubs))]
            summary = full.node.inspect().summary()
            ping = Ping(self.random.getrandbits(48), summary, FIRST_INCARNATION, 0)
            self.carry(stub, full, self._sealed(stub, full, ping))
        self.at(self.now + period, lambda: self._ask(full, period))

    def _sealed(self, stub: Host, to: Host, message: Message) -> bytes:
        self._sent += 1
        return seal(self.pool, stub.id, self._sent, messages.encode(message), stub.signer, to.id)
