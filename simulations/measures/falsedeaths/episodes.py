"""One probe of a healthy member, followed to its end under tilted loss: was the member held dead for it?

Every false death begins with a regular probe that fails although its subject lives: its prober becomes the
first to suspect the subject. Whatever follows on any host belongs to that probe. It ends when no member
suspects the subject and none probes it out of turn, or when another regular probe begins a suspicion. So

    false deaths in an hour = regular probes in an hour x E[weight x (some host held the subject dead)].

The first part of a run, until the prober suspects, is tilted against the probe: more is lost between the
prober and its subject, and of what relays say of it. Several copies continue from there, each with its own
tilt: the prober, or another host, misses what would clear the subject, or the subject loses touch with all.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mesh.protocol.membership.probes import PERIOD
from mesh.wire.identity import NodeId
from simulations.measures.branches import in_branch
from simulations.measures.falsedeaths.episode_watch import EpisodeWatch
from simulations.measures.falsedeaths.tilting import ANYONE, Tilt, TiltedNetwork, weight
from simulations.measures.ready_pool import node_of
from simulations.world import Host, World

STEP = 0.02
EPISODE = 60.0
"""Seconds after which an episode counts as over."""
EAGERNESS = (0.6, 1.0)
"""How far tilts go from the usual loss towards the loss that a failure shows in hindsight."""
ALWAYS = 0.97
USUAL = 0.1
"""The share of runs in which nothing is tilted until the suspicion."""
COPIES = 3
"""How many copies continue from there: the first untilted, the others tilted."""


@dataclass(frozen=True, slots=True)
class Episode:
    """The outcome of one probe: the weight with which it began a suspicion, and with which it killed."""

    suspicion: float = 0.0
    death: float = 0.0
    plainly: bool = False
    """Whether the copy killed in which nothing was tilted after the suspicion."""
    hits: int = 0
    """How many copies killed."""


def _tilt(share: float, loss: float, eagerness: float, at: int) -> Tilt:
    """Against each question that a host asks the subject, itself or through others.

    ``first``: how often the first of so many steps was lost when one of them was: p / (1 - (1 - p)^steps).
    """

    def first(steps: int) -> float:
        return loss + eagerness * (loss / (1 - (1 - loss) ** steps) - loss)

    last = loss + eagerness * (ALWAYS - loss)
    return Tilt(share, at, (first(2), last, last, first(4)), (first(3), first(2)))


def tilts_of_probe(prober: int, loss: float) -> list[Tilt]:
    """Against the prober's question and the help of its relays."""
    share = (1 - USUAL) / len(EAGERNESS)
    return [Tilt(USUAL), *(_tilt(share, loss, eagerness, prober) for eagerness in EAGERNESS)]


def tilts_of_suspicion(prober: int, loss: float) -> list[Tilt]:
    """The first is none. The others are against what would clear the suspect: at the prober, elsewhere."""
    share = (COPIES - 1) / (2 * len(EAGERNESS) + 1)
    told = [Tilt(1.0), Tilt(share, far=2.0 * loss)]
    for who in (prober, ANYONE):
        told += [_tilt(share, loss, eagerness, who) for eagerness in EAGERNESS]
    return told


def probes_due(world: World, seconds: float) -> list[tuple[Host, float]]:
    """The running hosts that begin a regular probe within so many seconds, and when by the world's clock."""
    due = []
    for host in world.running():
        local = node_of(host).inspect().due(PERIOD)
        if local is not None and host.world_time(local) < world.now + seconds:
            due.append((host, max(world.now, host.world_time(local))))
    return due


def is_probing(host: Host, id: NodeId, regular: bool = True, since: float | None = None) -> bool:
    """Whether a running host waits for the answer to such a probe of a member, begun not before ``since``."""
    probe = node_of(host).inspect().probe(id)
    return probe is not None and probe.regular == regular and (since is None or probe.started >= since - 1e-6)


def follow(world: World, watch: EpisodeWatch, host: Host, due: float, seed: int) -> Episode:
    """Run a world, in place, from before a host's regular probe (due then) to the end of all it causes."""
    source = random.Random(seed)
    world.reseed(source.getrandbits(64))
    loss = world.network.loss
    choices = tilts_of_probe(host.number, loss)
    network = TiltedNetwork(world.network)
    network.find = _first_asked(world, network, host, due, choices[_drawn(choices, source)])
    world.network = network
    watch.begun.clear()
    world.run(due - world.now + 1e-6)
    if network.coins.subject == ANYONE:
        return Episode()
    subject = world.hosts[network.coins.subject]
    while (subject.number, host.number) not in watch.begun:
        if not is_probing(host, subject.id):
            return Episode()
        watch.begun.clear()
        world.run(STEP)
    began = weight(choices, network.coins, loss, len(world.hosts))
    ways = tilts_of_suspicion(host.number, loss)
    found = []
    for copy in range(COPIES):
        number = 1 + _drawn(ways[1:], source) if copy else 0
        seed = source.getrandbits(64)
        found.append(
            in_branch(functools.partial(_copy, world, watch, network, host.number, ways, number, seed))
        )
    return Episode(began, began * sum(found) / COPIES, found[0] > 0, sum(each > 0 for each in found))


def _drawn(tilts: Sequence[Tilt], source: random.Random) -> int:
    """The number of one of them, by their shares."""
    return source.choices(range(len(tilts)), [tilt.share for tilt in tilts])[0]


def _first_asked(
    world: World, network: TiltedNetwork, host: Host, due: float, tilt: Tilt
) -> Callable[[int, int], None]:
    """Let the network follow the first member that the host probes from that time on."""

    def find(source: int, target: int) -> None:
        if source != host.number or world.now < due - 1e-9:
            return
        subject = world.hosts[target]
        if is_probing(host, subject.id, since=host.local(world.now)):
            network.follow(target, subject.id, source, tilt)

    return find


def _copy(
    world: World,
    watch: EpisodeWatch,
    network: TiltedNetwork,
    prober: int,
    tilts: Sequence[Tilt],
    number: int,
    seed: int,
) -> float:
    """The weight of a copy that kills; 0 when it does not."""
    source = random.Random(seed)
    world.reseed(source.getrandbits(64))
    subject, tilt = world.hosts[network.coins.subject], tilts[number]
    if tilt.at == ANYONE:
        others = [host.number for host in world.hosts if host is not subject]
        tilt = tilt._replace(at=source.choice(others))
    network.follow(subject.number, subject.id, prober, tilt)
    killed = watch.killed[subject.number]
    limit = world.now + EPISODE
    while world.now < limit:
        if watch.killed[subject.number] > killed:
            return weight(tilts, network.coins, network.loss, len(world.hosts))
        asking = _asking(world, subject)
        if not watch.suspected.get(subject.number) and not asking:
            break
        watch.begun.clear()
        world.run(STEP)
        if any(of == subject.number and by not in asking for of, by in watch.begun):
            break
    return 0.0


def _asking(world: World, subject: Host) -> set[int]:
    """The hosts that probe the subject out of turn."""
    return {host.number for host in world.running() if is_probing(host, subject.id, regular=False)}
