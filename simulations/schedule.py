"""Schedules of faults, made up front from a random source.

Not every run has every kind of fault. Each draws a random subset of families (swarm testing; Groce, Zhang,
Eide, Chen, Regehr, ISSTA 2012), because some failures show only where others are absent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

from mesh.protocol.base.settings import Settings
from simulations.checkers.deaths import HARMLESS
from simulations.faults import Fault
from simulations.unruly import UNRULY

Maker = Callable[[Random, int, float], list[Fault]]
"""Makes one fault, or several that belong together, at a time of the storm, for so many hosts."""


def settings(random: Random) -> Settings:
    """The protocol's settings, tuned at random within sane limits; often the defaults.

    A quarantine is always short, so that healing ends within a time that a run can wait for.
    """
    calm = replace(Settings(), quarantine=10.0, max_quarantine=20.0)
    if random.random() < 0.5:
        calm = replace(calm, reap_dead=20.0, reap_left=10.0)
    if random.random() < 0.4:
        return calm
    period = random.choice([0.3, 0.5, 1.0])
    lease = random.choice([5.0, 10.0, 15.0])
    return replace(
        calm,
        probe_period=period,
        direct_timeout=0.4 * period,
        probe_timeout=period,
        relays=random.choice([2, 3, 4]),
        suspicion_timeout=random.choice([0.7, 1.0, 2.0]),
        suspicion_timeout_stretch=random.choice([2.0, 3.0, 5.0]),
        suspectors=random.choice([2, 3, 4]),
        gossip_period=random.choice([0.05, 0.1, 0.2]),
        fanout=random.choice([3, 4, 5]),
        lease=lease,
        renew=0.2 * lease,
        startup_delay=random.choice([1.0, 2.5, 4.0]),
        election_delay=random.choice([0.5, 1.0, 2.0]),
    )


def families(random: Random) -> tuple[str, ...]:
    """The families of faults of a run: one or two, or each as likely as not, or some of the harmless."""
    if random.random() < 0.12:
        return tuple(sorted(random.sample(sorted(HARMLESS), 2)))
    if random.random() < 0.35:
        return tuple(sorted(random.sample(list(FAMILIES), random.choice([1, 2, 2]))))
    chosen = [name for name in FAMILIES if random.random() < 0.5]
    return tuple(chosen) or (random.choice(list(FAMILIES)),)


def schedule(
    random: Random, hosts: int, liars: tuple[int, ...], seconds: float, chosen: tuple[str, ...]
) -> list[Fault]:
    """The faults of one storm of that length, in order of time."""
    makers = [
        maker
        for name in chosen
        for maker in FAMILIES[name]
        if hosts >= _LEAST.get(maker, 1) and (name != "lies" or liars)
    ]
    faults: list[Fault] = []
    pace = random.choice([1.5, 4.0, 10.0])
    at = random.expovariate(1.0 / pace)
    while makers and at < seconds:
        maker = random.choice(makers)
        faults += _lie(random, liars, at) if maker is _lies else maker(random, hosts, at)
        at += random.expovariate(1.0 / pace)
    return sorted(faults, key=lambda fault: fault.at)


def _some(random: Random, hosts: int, counts: list[int]) -> tuple[int, ...]:
    """One of these numbers of hosts; at least one, and no more than there are."""
    return tuple(random.sample(range(hosts), min(hosts, max(1, random.choice(counts)))))


# --- processes


def _crash(random: Random, hosts: int, at: float) -> list[Fault]:
    kind = random.choice(["crash", "crash", "power"])
    some = _some(random, hosts, [1, 1, 2, hosts // 2])
    return [Fault(at, kind, some, lasts=random.choice([0.1, 1.0, random.uniform(0.0, 40.0)]))]


def _tear(random: Random, hosts: int, at: float) -> list[Fault]:
    some = _some(random, hosts, [1, 1, 2, hosts])
    return [Fault(at, "tear", some, lasts=random.choice([0.1, 1.0, random.uniform(0.0, 20.0)]))]


def _restart_all(random: Random, hosts: int, at: float) -> list[Fault]:
    return [Fault(at, "restart all", lasts=random.uniform(0.0, 5.0), value=random.choice([0.0, 0.1, 3.0]))]


def _leave(random: Random, hosts: int, at: float) -> list[Fault]:
    return [Fault(at, "leave", (random.randrange(hosts),), lasts=random.uniform(0.0, 20.0))]


def _join(random: Random, hosts: int, at: float) -> list[Fault]:
    return [Fault(at, "join", tuple(random.sample(range(hosts), random.choice([1, hosts]))))]


def _pause(random: Random, hosts: int, at: float) -> list[Fault]:
    some = _some(random, hosts, [1, 1, 2])
    return [Fault(at, "pause", some, lasts=random.choice([0.3, 1.0, 5.0, 15.0]))]


def _stutter(random: Random, hosts: int, at: float) -> list[Fault]:
    value = random.choice([0.05, 0.2, 0.6])
    return [Fault(at, "stutter", (random.randrange(hosts),), value=value, lasts=random.uniform(2.0, 15.0))]


def _doze(random: Random, hosts: int, at: float) -> list[Fault]:
    """One host stands still for long enough to be suspected, and soon afterwards one of its suspectors."""
    one, other = random.sample(range(hosts), 2)
    first = Fault(at, "pause", (one,), lasts=random.uniform(1.5, 3.0))
    return [first, Fault(at + random.uniform(1.0, 3.0), "pause", (other,), lasts=15.0)]


# --- disks and clocks


def _wipe(random: Random, hosts: int, at: float) -> list[Fault]:
    return [Fault(at, "wipe", (random.randrange(hosts),), lasts=random.uniform(0.0, 10.0))]


def _roll_back(random: Random, hosts: int, at: float) -> list[Fault]:
    back = random.choice([0.5, 5.0, 60.0, 600.0])
    return [Fault(at, "roll back", (random.randrange(hosts),), value=back, lasts=random.uniform(0.0, 10.0))]


def _jump(random: Random, hosts: int, at: float) -> list[Fault]:
    return [Fault(at, "jump", (random.randrange(hosts),), value=random.choice([0.3, 3.0, 30.0, 3600.0]))]


def _rate(random: Random, hosts: int, at: float) -> list[Fault]:
    return [Fault(at, "rate", (random.randrange(hosts),), value=1.0 + random.uniform(-0.009, 0.009))]


# --- programs


def _upgrade(random: Random, hosts: int, at: float) -> list[Fault]:
    """Some hosts get the newer program of the pool's two, or the older, one after another or at once."""
    some = _some(random, hosts, [1, 1, 2, hosts])
    newer, lasts = random.choice([0.0, 1.0, 1.0]), random.choice([0.1, 1.0, random.uniform(0.0, 10.0)])
    gap = random.choice([0.0, 2.0, 8.0])
    return [
        Fault(at + gap * turn, "upgrade", (host,), value=newer, lasts=lasts)
        for turn, host in enumerate(random.sample(some, len(some)))
    ]


def _undo_upgrade(random: Random, hosts: int, at: float) -> list[Fault]:
    """A host is upgraded and goes back, its disk too: its people restore what they saved before."""
    host, after = (random.randrange(hosts),), random.uniform(1.0, 20.0)
    back = Fault(at + after, "upgrade", host, value=0.0, lasts=0.1)
    restored = Fault(at + after + 0.05, "restore", host, value=after + 0.1)
    return [Fault(at, "upgrade", host, value=1.0, lasts=0.1), back, restored]


# --- the network


def _parts(random: Random, hosts: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """All hosts in two parts, neither of them empty."""
    order = random.sample(range(hosts), hosts)
    first = random.randrange(1, hosts)
    return tuple(order[:first]), tuple(order[first:])


def _partition(random: Random, hosts: int, at: float) -> list[Fault]:
    one, other = _parts(random, hosts)
    return [Fault(at, "partition", one, other, lasts=random.choice([1.0, 5.0, random.uniform(10.0, 40.0)]))]


def _partial(random: Random, hosts: int, at: float) -> list[Fault]:
    """Some cannot talk to some, everyone else to all; or two parts that only one bridge host sees both of."""
    one, other = _parts(random, hosts)
    if random.random() < 0.5 and hosts > 2:
        bridge = (one if len(one) > 1 else other)[0]
        one, other = (tuple(n for n in part if n != bridge) for part in (one, other))
        return [Fault(at, "bridge", one, other, lasts=random.uniform(2.0, 40.0))]
    return [Fault(at, "partition", one[:2], other[:2], lasts=random.uniform(2.0, 40.0))]


def _one_way(random: Random, hosts: int, at: float) -> list[Fault]:
    one, other = _parts(random, hosts)
    return [Fault(at, "one way", one, other, lasts=random.uniform(1.0, 30.0))]


def _flip_flop(random: Random, hosts: int, at: float) -> list[Fault]:
    one, other = _parts(random, hosts)
    lasts = random.choice([0.5, 1.5, 3.0])
    return [Fault(at + 2 * turn * lasts, "partition", one, other, lasts=lasts) for turn in range(6)]


def _swizzle(random: Random, hosts: int, at: float) -> list[Fault]:
    """Some hosts are clogged one after another and come free in another order."""
    some = random.sample(range(hosts), random.randrange(1, hosts + 1))
    begins = {host: at + 0.3 * random.random() * len(some) for host in some}
    ends = {host: at + 1.0 + 0.5 * turn * random.random() * 4 for turn, host in enumerate(some)}
    return [
        Fault(begins[host], "clog", (host,), lasts=max(0.1, ends[host] - begins[host]))
        for host in random.sample(some, len(some))
    ]


def _rough(random: Random, hosts: int, at: float) -> list[Fault]:
    kind, values = random.choice(
        [
            ("loss", [0.01, 0.05, 0.2, 0.5]),
            ("duplicate", [0.05, 0.5]),
            ("corrupt", [0.02, 0.3]),
            ("truncate", [0.02, 0.3]),
            ("tail", [0.005, 0.05, 0.3]),
        ]
    )
    return [Fault(at, kind, value=random.choice(values), lasts=random.uniform(2.0, 40.0))]


def _bad_link(random: Random, hosts: int, at: float) -> list[Fault]:
    kind, values = random.choice(
        [
            ("loss", [0.3, 0.8]),
            ("delay", [0.02, 0.15, 1.0]),
            ("mtu", [300.0, 576.0, 1000.0]),
            ("weights", [2000.0, 20000.0]),
        ]
    )
    host = (random.randrange(hosts),)
    return [Fault(at, kind, host, value=random.choice(values), lasts=random.uniform(2.0, 40.0))]


def _readdress(random: Random, hosts: int, at: float) -> list[Fault]:
    """Some machine gets another address, or two get each other's, and notice it seconds later."""
    some = _some(random, hosts, [1, 1, 2])
    return [Fault(at, "readdress", some, value=random.choice([0.0, 2.0, 10.0]))]


# --- what people and engines do


def _hand_over(random: Random, hosts: int, at: float) -> list[Fault]:
    return [Fault(at, "hand over", (random.randrange(hosts),))]


def _deploy(random: Random, hosts: int, at: float) -> list[Fault]:
    return [Fault(at, "deploy", (random.randrange(hosts),), value=random.choice([0, 0, 1, 1, 2]))]


def _evict(random: Random, hosts: int, at: float) -> list[Fault]:
    victim = random.randrange(1, hosts)
    owner = random.choice([number for number in range(hosts) if number != victim])
    return [Fault(at, "evict", (owner,), (victim,), lasts=random.uniform(0.0, 60.0))]


def _evict_each_other(random: Random, hosts: int, at: float) -> list[Fault]:
    """Two owners evict each other, at once, or while they cannot hear each other, or nearly so."""
    some = range(random.choice([0, 1, 1, 1, 1, 1]), hosts)  # the founder seldom: all chains hang on it
    one, other = random.sample(some, 2)
    cut = [_alone(one, hosts, at, random.uniform(1.0, 20.0))] if random.random() < 0.7 else []
    gap, back = random.choice([0.0, 0.0, 0.5]), random.uniform(10.0, 60.0)
    first = Fault(at + 0.5, "evict", (one,), (other,), lasts=back)
    return [*cut, first, Fault(at + 0.5 + gap, "evict", (other,), (one,), lasts=back)]


def _evict_alone(random: Random, hosts: int, at: float) -> list[Fault]:
    """An owner that is cut off evicts some host."""
    [eviction] = _evict(random, hosts, at)
    lasts = random.uniform(2.0, 30.0)
    return [_alone(eviction.hosts[0], hosts, at, lasts), replace(eviction, at=at + 0.7 * lasts)]


def _alone(host: int, hosts: int, at: float, lasts: float) -> Fault:
    rest = tuple(number for number in range(hosts) if number != host)
    return Fault(at, "partition", (host,), rest, lasts=lasts)


def _engine(random: Random, hosts: int, at: float) -> list[Fault]:
    return [Fault(at, "engine", (random.randrange(hosts),))]


def _stop_engine(random: Random, hosts: int, at: float) -> list[Fault]:
    return [Fault(at, "stop engine", tuple(random.sample(range(hosts), random.choice([1, 1, hosts]))))]


def _choose_engine(random: Random, hosts: int, at: float) -> list[Fault]:
    return [Fault(at, "choose engine", (random.randrange(hosts),), value=random.randrange(3))]


def _unruly(random: Random, hosts: int, at: float) -> list[Fault]:
    """A worker misbehaves, or whatever holds the leader's streams forgets them."""
    if random.random() < 0.2:
        return [Fault(at, "drop streams")]
    lasts = random.choice([10.0, 30.0, 60.0])
    return [Fault(at, "unruly", (random.randrange(hosts),), value=random.randrange(len(UNRULY)), lasts=lasts)]


def _machine(random: Random, hosts: int, at: float) -> list[Fault]:
    return [Fault(at, "machine", (random.randrange(hosts),), value=random.choice([0.0, 1.0, 1.0]))]


def _ask(random: Random, hosts: int, at: float) -> list[Fault]:
    return [Fault(at, "ask", value=random.choice([1.0, 5.0, random.uniform(0.0, 60.0)]))]


def _move(random: Random, hosts: int, at: float) -> list[Fault]:
    return [Fault(at, "move", value=random.choice([0.0, 0.0, 1.0]))]


def _profile(random: Random, hosts: int, at: float) -> list[Fault]:
    return [Fault(at, "profile", (random.randrange(hosts),), value=random.choice([0.5, 0.95, 1.3, 3.0]))]


def _lies(random: Random, hosts: int, at: float) -> list[Fault]:
    """A placeholder for :func:`_lie`, which knows the liars."""
    return []


def _lie(random: Random, liars: tuple[int, ...], at: float) -> list[Fault]:
    kind, liar = random.randrange(15), (random.choice(liars),)
    return [Fault(at + 0.5 * turn, "lie", liar, value=kind) for turn in range(random.choice([1, 1, 5]))]


FAMILIES: dict[str, tuple[Maker, ...]] = {
    "crashes": (_crash, _crash, _tear, _restart_all),
    "churn": (_leave, _join, _join),
    "pauses": (_pause, _stutter, _doze),
    "disks": (_wipe, _roll_back, _roll_back),
    "clocks": (_jump, _rate),
    "partitions": (_partition, _partial, _one_way, _flip_flop),
    "clogs": (_swizzle,),
    "rough network": (_rough,),
    "bad links": (_bad_link,),
    "addresses": (_readdress,),
    "people": (_hand_over, _deploy, _profile, _choose_engine),
    "engines": (_engine, _stop_engine),
    "unruly workers": (_unruly,),
    "moves": (_machine, _machine, _ask, _ask, _move, _deploy),
    "evictions": (_evict, _evict_each_other, _evict_alone),
    "lies": (_lies, _lies),
    "upgrades": (_upgrade, _upgrade, _undo_upgrade),
}

_LEAST: dict[Maker, int] = {
    _doze: 2, _partition: 2, _partial: 2, _one_way: 2, _flip_flop: 2,
    _evict: 2, _evict_alone: 2, _evict_each_other: 3,
}  # fmt: skip
"""How many hosts a fault's maker needs, if more than one: pools that are too small have no such fault."""
