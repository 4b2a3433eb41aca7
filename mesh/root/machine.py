"""What one machine brings along, in or out of a pool: the values that every part of the sidecar shares."""

from dataclasses import dataclass

from mesh.net.datagrams import Datagrams
from mesh.net.streams import Streams
from mesh.net.tailscale import Tailscale
from mesh.root.changes import Changes
from mesh.root.desk import Desk
from mesh.root.engine_keeper import EngineKeeper
from mesh.root.invites import Invites
from mesh.root.neighbours import Neighbours
from mesh.root.options import Effective
from mesh.root.state import StateDir
from mesh.wire.identity import Identity


@dataclass(frozen=True, slots=True)
class Machine:
    """Made once when the sidecar starts."""

    options: Effective
    state: StateDir
    identity: Identity
    port: int
    datagrams: Datagrams
    streams: Streams
    tailscale: Tailscale | None
    neighbours: Neighbours
    keeper: EngineKeeper
    invites: Invites
    desk: Desk
    changes: Changes
