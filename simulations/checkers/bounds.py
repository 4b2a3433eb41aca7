"""Whatever grows has a bound: datagrams, chains of vouchers, and every container inside a Node."""

from __future__ import annotations

from functools import partial

from mesh.protocol.dissemination import bootstrap, gossip
from mesh.protocol.facts import store
from mesh.protocol.facts.pending import MAX_WAITING
from mesh.protocol.limits import rate_limits, replays
from mesh.protocol.membership import flap_detection, older_sets, probes
from mesh.protocol.trust import roster
from mesh.wire.facts import Claim, PoolState, Resignation
from simulations.checkers.verdicts import Verdicts
from simulations.hosts import Host
from simulations.world import World

LARGEST_DATAGRAM = 1200
LONGEST_CHAIN = 8
"""Vouchers between the founder and a member."""
LONGEST_CONTAINER = 16384
"""The most that any list, dict or set of a Node may hold, whatever it is sent, ..."""
LIMITS: dict[str, int] = {
    "pending_facts.by_author": MAX_WAITING,
    "pending_facts.by_author[]": MAX_WAITING,
    "pending_facts.by_source": MAX_WAITING,
    "gossip.wanted": gossip.MAX_WANTED,
    "gossip.under_way": gossip.MAX_ASKED,
    "gossip.asked_at": gossip.MAX_ASKED,
    "gossip.vain": gossip.MAX_ASKED,
    "wanted[].holders": gossip.MAX_PULL_TRIES,
    "under_way[].holders": gossip.MAX_PULL_TRIES,
    "bootstrap.hello_targets": bootstrap.MAX_HELLO_TARGETS,
    "bootstrap.silent": bootstrap.MAX_HELLO_TARGETS,
    "bootstrap.replies": bootstrap.MAX_REPLIES,
    "prober.relayed": probes.MAX_RELAYED,
    "prober.trips": probes.MAX_TRIPS,
    "probes[].sent": probes.MAX_TRIES,
    "past[].sent": probes.MAX_TRIES,
    "store.proofs": store.MAX_PROOFS,
    "older_sets.last": older_sets.MAX_COMPARED,
    "flap_detector.suspicions": flap_detection.MAX_SUSPICIONS,
    "flap_detector.direct": flap_detection.MAX_SAMPLES,
    "rate_limits.hosts": rate_limits.MAX_HOSTS,
    "acts.evictions": roster.MAX_EVICTIONS,
    "roster.evicted": roster.MAX_EVICTIONS,
    "roster.revoked": roster.MAX_REVOKED,
    "roster.contested": roster.MAX_REVOKED,
    "replays.others[]": replays.OTHERS,
}
"""... and the narrower bounds of some, by the last two names of their paths."""
FEW = {Claim: 8, Resignation: 32, PoolState: 4}
"""Facts of leaders, whichever members led."""
FOR_EACH_MEMBER = 64
"""The most for each member, beyond ``ROOM``, once a pool is calm."""
ROOM = 560
"""What strangers may fill for good: pending facts, silent addresses, proofs."""
_NAME = "bounds"


class Bounds:
    """Measures what was sent and what Nodes keep."""

    def __init__(self, world: World, verdicts: Verdicts) -> None:
        self._world = world
        self._say = partial(verdicts.say, _NAME)
        self._limits = LIMITS | {"store.suspected[]": world.settings.suspectors}

    def scan(self) -> None:
        """Every container of every Node."""
        world = self._world
        if world.largest > LARGEST_DATAGRAM:
            self._say(f"a datagram of {world.largest} bytes was sent")
        self._measure(LONGEST_CONTAINER, "")
        for host in world.running():
            self._measure_facts(host)

    def calm(self) -> None:
        """The same once nothing happens any more: what was under way is gone."""
        self._measure(ROOM + FOR_EACH_MEMBER * len(self._world.keys), " in a calm pool")

    def _measure(self, most: int, when: str) -> None:
        for host in self._world.running():
            if host.node is not None:
                for path, length in host.node.inspect().containers():
                    limit = min(most, self._limits.get(last_names(path), most))
                    if length > limit:
                        self._say(f"{path} of host{host.number} holds {length}, more than {limit}{when}")

    def _measure_facts(self, host: Host) -> None:
        assert host.node is not None
        inside = host.node.inspect()
        waiting = inside.pending_facts()
        if waiting > MAX_WAITING:
            self._say(f"with host{host.number} {waiting} facts wait for a voucher")
        for kind, most in FEW.items():
            held = sum(1 for _ in inside.facts(kind))
            if held > most:
                self._say(f"host{host.number} holds {held} facts of the kind {kind.__name__}")
        for id in inside.roster():
            links = len(host.node.chain(id)) - 1
            if links > LONGEST_CHAIN:
                subject = self._world.host_of(id)
                self._say(f"host{host.number} takes host{subject.number} in by a chain of {links} vouchers")


def last_names(path: str) -> str:
    """The last two names of a path, which identify a container: the part and its attribute."""
    return ".".join(path.rsplit(".", 2)[-2:])
