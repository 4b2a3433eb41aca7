"""The protocol of a discovery source: a way by which machines find each other.

A new source is a file with a class that subclasses `DiscoverySource`, and its line in
`mesh.root.services.discovery_sources`. Only ``name`` and ``endpoints`` must be given.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import trio

from mesh.wire.endpoint import Endpoint
from mesh.wire.identity import PoolId
from mesh.wire.versions import Versions


@dataclass(frozen=True, slots=True)
class Sighting:
    """A node that announces a pool; ids in text form. Nothing of it is proved."""

    pool: str
    node: str
    name: str
    speaks: Versions | None
    """The wire versions that it speaks; None where it does not say so."""

    endpoints: tuple[Endpoint, ...]


class OwnerCheck(NamedTuple):
    """Whether a machine and this one have the same owner; if not, ``reason`` follows the machine's name."""

    same: bool
    name: str
    """The machine's owner; empty when it is not known."""

    reason: str


class Ownership(Protocol):
    """Tells a machine's owner without its help: machines of one owner admit each other without an invite."""

    async def check_owner(self, remote: Endpoint) -> OwnerCheck | None:
        """Compare the owner of a connection's other end with this machine's; None for an unknown machine.

        Raises MeshError when the source cannot be asked.
        """


class DiscoverySource(Protocol):
    """One way to find other machines. What it says is a hint: each machine proves itself later."""

    name: str
    """As people read it behind an article: ``tailnet``, ``local network``."""

    ownership: Ownership | None = None
    """How it proves a machine's owner, where it can: pools are then joined without a word of a person."""

    announces: bool = False
    """Whether machines announce their pools here, so that ``sightings`` can list them after a moment."""

    last_resort: bool = False
    """Whether only a node that knows no other member at all asks this source."""

    async def endpoints(self, pool: PoolId | None) -> Sequence[Endpoint]:
        """Where members of ``pool``, or of any pool, may listen at present.

        Raises MeshError when the source cannot be asked.
        """

    def sightings(self) -> Sequence[Sighting]:
        """The announcements of other machines that were seen, the latest of each."""
        return ()

    async def run(
        self,
        seen: Callable[[Sighting], None],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Watch until cancelled, and call ``seen`` with each announcement as it comes in."""
        task_status.started()

    async def announce(self, pool: str, node: str, port: int, name: str, addresses: Sequence[str]) -> None:
        """Let others see that ``node`` of ``pool`` (ids in text form) listens at these addresses."""
        return

    async def withdraw(self) -> None:
        """Take the announcement back."""
        return

    def remember(self, pool: PoolId, endpoints: Sequence[Endpoint]) -> None:
        """Learn where other members of ``pool`` are. Raises MeshError when the source cannot keep that."""
        return
