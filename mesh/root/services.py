"""The services of a node, made once: what it has in a pool or out of one. Tests make theirs here too."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mesh.admission.admission_server import AdmissionServer
from mesh.admission.invites import Invites
from mesh.control.sidecar_options import DEFAULT_PORT, NodeOptions
from mesh.net.datagrams import Datagrams
from mesh.net.discovery.discovery import Discovery
from mesh.net.discovery.discovery_source import DiscoverySource
from mesh.net.discovery.lan import LanSource
from mesh.net.discovery.mdns import Mdns
from mesh.net.discovery.tailnet_source import TailnetSource
from mesh.net.discovery.tailscale import Tailscale
from mesh.net.streams import Streams
from mesh.runtime.change_signal import ChangeSignal
from mesh.runtime.engine_keeper import EngineKeeper
from mesh.runtime.node_context import NodeContext
from mesh.runtime.peer_cache import CachedPeers
from mesh.runtime.program_build import build
from mesh.runtime.state import StateDir
from mesh.wire.identity import id_text


@dataclass(frozen=True, slots=True)
class Services:
    """``context`` is what all parts of a node share; only the sidecar and the stay use admission."""

    context: NodeContext
    admission_server: AdmissionServer
    invites: Invites


def discovery_sources(
    state: StateDir, port: int, mdns: Mdns, tailscale: Tailscale | None
) -> list[DiscoverySource]:
    """All discovery sources of a node with this ``port``, in the order in which they are asked."""
    return [
        LanSource(mdns, id_text(state.identity().id)),
        *([] if tailscale is None else [TailnetSource(tailscale, (DEFAULT_PORT, port))]),
        CachedPeers(state, port),
    ]


def make_services(
    options: NodeOptions,
    state: StateDir,
    datagrams: Datagrams,
    source_hosts: Sequence[str],
    tailscale: Tailscale | None,
    sources: Sequence[DiscoverySource],
    cache: Path,
    wall_clock: Callable[[], float] = time.time,
) -> Services:
    """Make the services.

    ``source_hosts``: the addresses that streams leave from; ``cache`` is the folder of engines.
    """
    identity = state.identity()
    changes = ChangeSignal()
    streams = Streams(identity, source_hosts, build=build(), name=options.name)
    invites = Invites(state, wall_clock)
    context = NodeContext(
        options=options,
        state=state,
        identity=identity,
        port=datagrams.port,
        datagrams=datagrams,
        streams=streams,
        tailscale=tailscale,
        discovery=Discovery(sources, changes.notify),
        keeper=EngineKeeper(cache, changes),
        changes=changes,
    )
    return Services(context, AdmissionServer(identity, options.name, streams, invites, sources), invites)
