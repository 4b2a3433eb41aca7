"""What the best possible protocol with the same settings could do: limits to compare measures with."""

from __future__ import annotations

import math

from mesh.protocol.base.settings import Settings
from mesh.wire import messages
from mesh.wire.envelope import OVERHEAD
from mesh.wire.messages import Ping


def first_probe(share: float, nodes: int, settings: Settings) -> float:
    """Seconds until any member probes a given member, at this percentile.

    Each of n - 1 others probes it once in a round of n - 1 periods, at a phase of its own:
    P(none by t) = (1 - t / ((n - 1) period))^(n - 1), which tends to exp(-t / period).
    """
    others = nodes - 1
    return float(others * settings.probe_period * (1 - (1 - share) ** (1 / others)))


def rounds_to_all(nodes: int) -> float:
    """Gossip rounds to reach all, with 4 receivers in each: log4 n to reach most, ln(n) / 3 for the rest."""
    return math.log(nodes, 4) + math.log(nodes) / 3


def shortest_suspicion(nodes: int, settings: Settings) -> float:
    """Seconds of the suspicion once enough members suspect."""
    stretch = max(1.0, math.log10(nodes) - 1.0)
    return float(settings.suspicion_timeout * stretch)


def silent_crash_known(share: float, nodes: int, settings: Settings) -> float:
    """First probe, its time limit, the shortest suspicion; the suspicion spreads during that."""
    return first_probe(share, nodes, settings) + settings.probe_timeout + shortest_suspicion(nodes, settings)


def dead_process_known(share: float, nodes: int, settings: Settings) -> float:
    """First probe, refused at once, and the short suspicion of a process that is seen to be gone."""
    return first_probe(share, nodes, settings) + settings.reset_suspicion_timeout


def word_known(share: float, nodes: int, settings: Settings) -> float:
    """One member's word to all, the same for every percentile: its rounds of gossip."""
    return rounds_to_all(nodes) * settings.gossip_period


def probe_bytes(settings: Settings) -> float:
    """Bytes a second that probing alone sends: a ping and an answer to another's ping in each period."""
    ping = Ping(1 << 47, bytes(8), 1, 0)
    return 2 * (OVERHEAD + len(messages.encode(ping))) / settings.probe_period
