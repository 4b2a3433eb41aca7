"""The world as measures need it."""

from __future__ import annotations

from simulations.network import LinkFault
from simulations.world import Host, World


class Lab(World):
    """A world to measure in."""

    def boot(self, host: Host) -> None:
        """Start a Node from the host's disk, without an input yet."""
        self._boot(host)

    def trouble(self, *faults: LinkFault) -> None:
        """Let these links be bad, beside those that are."""
        self.set_faults((*self.network.faults, *faults))
