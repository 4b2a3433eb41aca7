"""Facts travel as they were signed: no member changes their bytes, and none signs one version twice.

Two forms of one version of a fact would be an equivocation, though both say the same.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from mesh.wire import messages
from mesh.wire.envelope import open_envelope
from mesh.wire.errors import DecodeError
from mesh.wire.facts import Suspicion
from mesh.wire.signed_facts import Signed, decode
from simulations.checkers.setbacks import Setbacks
from simulations.checkers.verdicts import Excuses, Verdicts
from simulations.checkers.votes import KIND_AT
from simulations.hosts import Host
from simulations.world import World

_NAME = "passed on"


class PassedOn:
    """Reads the bodies of facts in every datagram that an honest host sends."""

    def __init__(self, world: World, verdicts: Verdicts, excuses: Excuses, setbacks: Setbacks) -> None:
        self._world = world
        self._say = partial(verdicts.say, _NAME)
        self._excuses = excuses
        self._setbacks = setbacks
        self._seen: set[bytes] = set()
        self._said: dict[tuple[bytes, tuple[int, ...]], bytes] = {}
        """The bytes of each version of each fact."""
        world.taps.append(self._sent)

    def _sent(self, source: Host, target: Host, payload: bytes) -> None:
        if len(payload) <= KIND_AT or payload[KIND_AT] != messages.Bodies.kind or source.node is None:
            return
        if source.id in self._excuses.liars:
            return
        try:
            bodies = messages.decode(open_envelope(payload).body)
        except DecodeError:
            return
        assert isinstance(bodies, messages.Bodies)
        for data in bodies.facts:
            if data not in self._seen:
                self._seen.add(data)
                self._judge(source, data)

    def _judge(self, source: Host, data: bytes) -> None:
        signed: Signed[Any] = decode(data)
        author, what = signed.fact.author, type(signed.fact).__name__
        key = self._world.keys.get(author)
        if key is None:
            return  # a claim of a stranger that a liar plays
        subject = self._world.host_of(author)
        if not signed.proven_by(key, self._world.verifier):
            self._say(f"host{source.number} passes on a {what} that host{subject.number} did not sign so")
        elif not (
            isinstance(signed.fact, Suspicion)  # the next process of a member may suspect the same once more
            or author in self._excuses.liars
            or self._setbacks.has_forgotten(author)
        ):
            former = self._said.setdefault((signed.key, signed.fact.version), data)
            if former != data:
                self._say(f"host{subject.number} signed one version of a {what} twice")
