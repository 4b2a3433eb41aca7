"""The world as measures need it: reseeded at will, with TCP probes that feel loss and full links."""

from __future__ import annotations

import random

from mesh.protocol.effects import ProbeStream
from mesh.protocol.node import Node
from mesh.protocol.settings import Settings
from simulations.network import LinkFault
from simulations.world import Host, World

_PROBE_BYTES = bytes(40)
_SEGMENTS = 4


class Lab(World):
    """A world to measure in."""

    def __init__(self, seed: int, settings: Settings | None = None) -> None:
        super().__init__(seed, settings)
        self._sources: dict[int, random.Random] = {}

    def boot(self, host: Host) -> None:
        """Start a Node from the host's disk, without an input yet."""
        host.run += 1
        host.powered = True
        source = self._sources[host.number] = random.Random(self.random.getrandbits(64))
        host.node = Node(self.settings, host.signer, self._verifier, source, dict(host.disk))

    _boot = boot

    def reseed(self, seed: int) -> None:
        """New random numbers for the world and for every Node from here on."""
        self.random.seed(seed)
        for source in self._sources.values():
            source.seed(self.random.getrandbits(64))

    def trouble(self, *faults: LinkFault) -> None:
        """Let these links be bad, beside those that are."""
        self.network.faults = (*self.network.faults, *faults)

    def _probe_stream(self, host: Host, effect: ProbeStream) -> None:
        """A TCP and a TLS handshake: four segments that meet what datagrams meet.

        A lost one counts as lost for good: TCP sends it again after 0.2 to 1 s (RFC 6298), too late for a
        probe. The kernel accepts for a process that stands still, but that process proves nothing.
        """
        target = self.host_at(effect.endpoint)
        if target is None or not target.powered or self.now < target.paused_until:
            return
        when, way = self.now, (host.number, target.number)
        for _ in range(_SEGMENTS if target.node is not None else 2):
            passed = self.network.passed(self.random, when, *way, _PROBE_BYTES)
            if not passed:
                return
            when, way = passed[0][0], (way[1], way[0])
        ok = target.node is not None and target.id == effect.to
        to, token, refused = effect.to, effect.token, target.node is None
        self.step(
            host,
            when,
            lambda node: node.probe_result(host.local(self.now), to, token, ok, refused=refused),
        )
