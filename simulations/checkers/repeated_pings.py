"""No datagram acts twice: a repeated ping, byte for byte as it was sent, gets no second answer."""

from __future__ import annotations

from functools import partial

from mesh.wire import messages
from simulations.checkers.verdicts import Verdicts
from simulations.checkers.votes import KIND_AT
from simulations.hosts import Host
from simulations.world import World

_NAME = "replays"


class RepeatedPings:
    """Matches answers to pings: each follows its ping at once, so they show which pings a Node accepts."""

    def __init__(self, world: World, verdicts: Verdicts) -> None:
        self._say = partial(verdicts.say, _NAME)
        self._looked_at: dict[int, bytes] = {}
        """The ping that each host got last, unless something else came since."""
        self._answered: dict[int, set[bytes]] = {}
        """The pings that the present process of each host answered."""
        world.arrivals.append(self._arrived)
        world.taps.append(self._sent)
        world.on_crash.append(self._ended)

    def _ended(self, host: Host) -> None:
        self._answered.pop(host.number, None)

    def _arrived(self, host: Host, payload: bytes) -> None:
        if len(payload) > KIND_AT and payload[KIND_AT] == messages.Ping.kind:
            self._looked_at[host.number] = payload
        else:
            self._looked_at.pop(host.number, None)

    def _sent(self, source: Host, target: Host, payload: bytes) -> None:
        if len(payload) <= KIND_AT or payload[KIND_AT] != messages.Ack.kind:
            return
        ping = self._looked_at.pop(source.number, None)
        if ping is None:
            return
        answered = self._answered.setdefault(source.number, set())
        if ping in answered:
            self._say(f"host{source.number} answers a ping that it answered before")
        answered.add(ping)
