"""The world as measures need it: Nodes that start by hand, and links that are bad beside others."""

from __future__ import annotations

import random

from mesh.protocol.node import Node
from mesh.protocol.settings import Settings
from simulations.network import LinkFault
from simulations.world import Host, World


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
