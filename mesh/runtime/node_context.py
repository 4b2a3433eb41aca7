"""The context of one node: the values that its parts share, in a pool or out of one."""

import os
import random
from dataclasses import dataclass

from mesh.control.sidecar_options import NodeOptions
from mesh.net.datagrams import Datagrams
from mesh.net.discovery.discovery import Discovery
from mesh.net.discovery.tailscale import Tailscale
from mesh.net.streams import Streams
from mesh.protocol.base.settings import Settings
from mesh.protocol.node.node import Node
from mesh.runtime.change_signal import ChangeSignal
from mesh.runtime.engine_keeper import EngineKeeper
from mesh.runtime.state import StateDir
from mesh.wire.identity import Identity, PoolId, verify


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
    discovery: Discovery
    keeper: EngineKeeper
    changes: ChangeSignal

    def node_in(self, pool: PoolId, source: random.Random | None = None) -> Node:
        """Create this node's protocol state in ``pool``, from all that it has persisted there.

        ``source`` of randomness is the system's by default, so that nodes that start together act
        differently.
        """
        chosen = source or random.Random(os.urandom(16))
        return Node(Settings(), self.identity, verify, chosen, self.state.stored(pool))
