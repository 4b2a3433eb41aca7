"""What one machine brings along, in or out of a pool: the values that every part of the sidecar shares."""

from dataclasses import dataclass

from mesh.control.sidecar_options import NodeOptions
from mesh.net.datagrams import Datagrams
from mesh.net.discovery.tailscale import Tailscale
from mesh.net.streams import Streams
from mesh.runtime.change_signal import ChangeSignal
from mesh.runtime.engine_keeper import EngineKeeper
from mesh.runtime.lan import Neighbours
from mesh.runtime.state import StateDir
from mesh.wire.identity import Identity


@dataclass(frozen=True, slots=True)
class NodeContext:
    """Made once when the sidecar starts."""

    options: NodeOptions
    state: StateDir
    identity: Identity
    port: int
    datagrams: Datagrams
    streams: Streams
    tailscale: Tailscale | None
    neighbours: Neighbours
    keeper: EngineKeeper
    changes: ChangeSignal
