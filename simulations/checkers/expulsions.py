"""An eviction ends everything at once wherever it is known: facts, streams, and the member's own sending."""

from __future__ import annotations

from functools import partial

from mesh.protocol.base.effects import Event, Expelled
from mesh.wire.identity import NodeId
from simulations.checkers.verdicts import Excuses, Verdicts
from simulations.hosts import Host
from simulations.world import World

ACTS = ("Voucher", "Eviction")
"""What an owner said before it was evicted may stay."""
_NAME = "expulsions"


class Expulsions:
    """Checks what Nodes keep of evicted members, what they grant them, and what they send once evicted."""

    def __init__(self, world: World, verdicts: Verdicts, excuses: Excuses) -> None:
        self._world = world
        self._say = partial(verdicts.say, _NAME)
        self._excuses = excuses
        self._silenced: dict[int, tuple[int, float]] = {}
        """The run of each host that knows of its own eviction, and since when."""
        world.observers.append(self._observe)
        world.taps.append(self._sent)

    def _observe(self, world: World, host: Host, event: Event) -> None:
        if isinstance(event, Expelled):
            self._silenced[host.number] = (host.run, world.now)

    def _sent(self, source: Host, target: Host, payload: bytes) -> None:
        run, since = self._silenced.get(source.number, (-1, 0.0))
        if run == source.run and self._world.now > since:
            self._say(f"host{source.number} goes on sending though it knows that it was evicted")

    def scan(self) -> None:
        """Check what every honest Node keeps."""
        for host in self._world.running():
            if host.node is None or host.id in self._excuses.liars:
                continue
            inside = host.node.inspect()
            out = inside.evicted()
            for signed in inside.facts() if out else ():
                kind = type(signed.fact).__name__
                if signed.fact.author in out and kind not in ACTS:
                    self._say(f"host{host.number} keeps a {kind} of a member that it knows was evicted")

    def passed(self, worker: Host, key: tuple[NodeId, int]) -> None:
        """Bytes of a stream reached the worker's rpc-server."""
        if worker.node is not None and key[0] in worker.node.inspect().evicted():
            self._say(f"bytes of an evicted leader passed the gate of host{worker.number}")
