import itertools
import math
import random
from collections.abc import Callable, Iterator

import pytest

from mesh.wire import messages
from mesh.wire.envelope import seal
from mesh.wire.facts import Liveness, Record
from mesh.wire.identity import NodeId, PoolId
from mesh.wire.messages import PingRequest, Pull, Relayed, Rumour, Rumours
from mesh.wire.signed_facts import place_key
from simulations.hosts import address
from simulations.measures.falsedeaths.tilting import (
    ANYONE,
    ASKS,
    FROM,
    HELP_FROM,
    HELP_TO,
    TO,
    TOLD,
    Coins,
    Tilt,
    TiltedNetwork,
    weight,
)
from simulations.network import Network
from simulations.signing import KeyedHash

LOSS = 0.2
HOSTS = 5
SUBJECT = 0
SUBJECT_ID = NodeId(bytes(range(16)))
TILTS = (
    Tilt(1.0),
    Tilt(1.0, 1, (0.5, 0.9, 0.8, 0.4), help=(0.3, 0.6)),
    Tilt(1.0, 1, (0.5, 0.9, 0.8, 0.4), far=0.4),
    Tilt(1.0, ANYONE, (0.5, 0.6, 0.7, 0.3), help=(0.4, 0.5), far=0.3),
    Tilt(1.0, far=0.6),
)
Toss = Callable[[int, int], bool]


def ruin(toss: Toss) -> bool:
    """Whether the subject is held dead: a small suspicion, in which later datagrams depend on earlier ones.

    Host 1 asks, there and back, and has host 2 ask for it. Then the subject tells host 3 that it lives, and
    if that got it, host 1 asks host 3 and is told.
    """
    if not toss(TO, 1) and not toss(FROM, 1):
        return False
    if not toss(ASKS, 1) and not toss(HELP_TO, 2) and not toss(HELP_FROM, 2) and not toss(TOLD, 1):
        return False
    return bool(toss(FROM, 3) or toss(ASKS, 1) or toss(TOLD, 1))


class Run:
    """One run, its outcomes given: what it used of them, and how probable that is under the tilt."""

    def __init__(self, tilt: Tilt, outcomes: tuple[bool, ...]) -> None:
        self.tilt, self.outcomes = tilt, outcomes
        self.coins, self.chance, self.used = Coins(SUBJECT), 1.0, 0

    def toss(self, kind: int, host: int) -> bool:
        tilted = self.tilt.loss(kind, host)
        loss = LOSS if tilted is None else tilted
        lost = self.outcomes[self.used]
        self.used += 1
        self.chance *= loss if lost else 1 - loss
        self.coins.toss(kind, host, lost)
        return lost


def runs(tilt: Tilt) -> Iterator[tuple[bool, Coins, float]]:
    """All that can happen: whether it was ruin, the coins, and the probability under the tilt."""
    for outcomes in itertools.product((True, False), repeat=9):
        run = Run(tilt, outcomes)
        hit = ruin(run.toss)
        if not any(outcomes[run.used :]):  # each way of using fewer coins once
            yield hit, run.coins, run.chance


def truth() -> float:
    return math.fsum(chance for hit, _, chance in runs(Tilt(1.0)) if hit)


def mixed() -> Iterator[tuple[float, Tilt]]:
    """The mixture taken apart: the share of each tilt with a host of its own."""
    total = sum(tilt.share for tilt in TILTS)
    for tilt in TILTS:
        hosts: list[int | None] = [*range(1, HOSTS)] if tilt.at == ANYONE else [tilt.at]
        for host in hosts:
            yield tilt.share / total / len(hosts), tilt._replace(at=host)


def test_the_weights_of_all_that_can_happen_add_up_to_one() -> None:
    total = math.fsum(
        share * chance * weight(TILTS, coins, LOSS, HOSTS)
        for share, tilt in mixed()
        for _, coins, chance in runs(tilt)
    )
    assert total == pytest.approx(1.0, rel=1e-12)


def test_the_weighted_hits_of_all_that_can_happen_are_the_chance_of_a_hit() -> None:
    """The estimator has no bias at all: its expectation, summed over every run, is the truth."""
    found = math.fsum(
        share * chance * weight(TILTS, coins, LOSS, HOSTS)
        for share, tilt in mixed()
        for hit, coins, chance in runs(tilt)
        if hit
    )
    assert found == pytest.approx(truth(), rel=1e-12)
    assert 1e-3 < found < 0.2


def test_no_weight_exceeds_what_the_share_of_the_usual_loss_allows() -> None:
    weights = [weight(TILTS, coins, LOSS, HOSTS) for _, tilt in mixed() for _, coins, _ in runs(tilt)]
    assert max(weights) <= 5.0
    assert min(weights) > 0


def test_tilting_needs_fewer_runs_than_waiting() -> None:
    """The variance of one weighted run is below that of one run as it comes."""
    chance = truth()
    second = math.fsum(
        share * probability * weight(TILTS, coins, LOSS, HOSTS) ** 2
        for share, tilt in mixed()
        for hit, coins, probability in runs(tilt)
        if hit
    )
    assert second - chance**2 < 0.5 * chance * (1 - chance)


def test_a_weight_beyond_what_a_number_holds_is_none_at_all() -> None:
    coins = Coins(SUBJECT)
    for _ in range(5000):
        coins.toss(TO, 1, lost=True)
    assert weight([Tilt(1.0, 1, (0.9, 0.9, 0.9, 0.9))], coins, LOSS, HOSTS) == 0.0
    for _ in range(5000):
        coins.toss(FROM, 2, lost=False)
    assert weight([Tilt(1.0, far=0.9), Tilt(1.0)], coins, LOSS, HOSTS) <= 2.0


def sealed(message: messages.Message) -> bytes:
    signer = KeyedHash(1)
    return seal(PoolId(bytes(16)), signer.id, 1, messages.encode(message), signer)


def carried(network: TiltedNetwork, source: int, target: int, payload: bytes) -> float:
    """The share that was lost of many."""
    draw = random.Random(1)
    lost = sum(not network.passed(draw, 0.0, source, target, payload) for _ in range(2000))
    return lost / 2000


def test_the_network_loses_more_of_what_the_tilt_concerns_and_counts_it() -> None:
    network, about = TiltedNetwork(Network(loss=LOSS)), pytest.approx
    key = place_key(Liveness.kind, SUBJECT_ID)
    answer, request = Relayed(1, bytes(97) + SUBJECT_ID), PingRequest(1, SUBJECT_ID, address(0))
    assert carried(network, 0, 1, b"before anybody is followed") == about(LOSS, abs=0.03)
    network.follow(SUBJECT, SUBJECT_ID, 1, Tilt(1.0, 1, (0.5, 0.9, 0.8, 0.4), (0.3, 0.6), 0.7))
    assert network.coins.counts == {}
    assert carried(network, 1, 0, b"a question") == about(0.5, abs=0.03)
    assert carried(network, 0, 1, b"an answer") == about(0.9, abs=0.03)
    assert carried(network, 2, 1, sealed(answer)) == about(0.8, abs=0.03)
    assert carried(network, 1, 2, sealed(answer)) == about(LOSS, abs=0.03)
    assert carried(network, 1, 3, sealed(Pull((key,)))) == about(0.4, abs=0.03)
    assert carried(network, 0, 3, b"to another") == about(0.7, abs=0.03)
    assert carried(network, 1, 3, sealed(request)) == about(0.4, abs=0.03)
    assert carried(network, 3, 0, b"in the stead of the prober") == about(0.3, abs=0.03)
    assert carried(network, 0, 3, b"and back") == about(0.6, abs=0.03)
    counted = {what: sum(counts) for what, counts in network.coins.counts.items()}
    each = [(TO, 1), (FROM, 1), (TOLD, 1), (TOLD, 2), (FROM, 3), (HELP_TO, 3), (HELP_FROM, 3)]
    assert counted == {**dict.fromkeys(each, 2000), (ASKS, 1): 4000}


def test_what_does_not_speak_of_the_subject_is_lost_as_usual_and_not_counted() -> None:
    network = TiltedNetwork(Network(loss=LOSS))
    network.follow(SUBJECT, SUBJECT_ID, 1, Tilt(1.0, 1, (0.9, 0.9, 0.9, 0.9)))
    rumour = Rumours((Rumour(place_key(Liveness.kind, SUBJECT_ID), (1, 1), bytes(4)),))
    for payload in (b"of others", sealed(rumour), sealed(Pull((place_key(Record.kind, SUBJECT_ID),)))):
        assert carried(network, 1, 2, payload) == pytest.approx(LOSS, abs=0.03)
    assert network.coins.counts == {}
