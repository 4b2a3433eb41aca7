import itertools
import math
import random
from collections.abc import Callable, Iterator

import pytest

from mesh.wire import messages
from mesh.wire.envelope import seal
from mesh.wire.facts import Liveness, Record, place_key
from mesh.wire.identity import NodeId, PoolId
from mesh.wire.messages import Pull, Relayed, Rumour, Rumours
from simulations.measures.tilting import ANYONE, Coins, Tilt, TiltedNetwork, weight
from simulations.network import Network
from simulations.signing import KeyedHash

LOSS = 0.2
HOSTS = 5
SUBJECT = 0
TILTS = (
    Tilt(1.0),
    Tilt(1.0, at=1, loss=0.7),
    Tilt(1.0, at=1, loss=0.7, far=0.4),
    Tilt(1.0, at=ANYONE, loss=0.5, far=0.3),
    Tilt(1.0, far=0.6),
)
Toss = Callable[[int, bool], bool]


def ruin(toss: Toss) -> bool:
    """Whether the subject is held dead: a small suspicion, in which later datagrams depend on earlier ones.

    Host 1 asks twice, there and back. Then the subject tells hosts 2 and 3 that it lives; whoever got that
    tells host 1.
    """
    for _ in range(2):
        if not toss(1, True) and not toss(1, True):
            return False
    knowing = [host for host in (2, 3) if not toss(host, True)]
    return all(toss(1, False) for _ in knowing)


class Run:
    """One run, its outcomes given: what it used of them, and how probable that is under the tilt."""

    def __init__(self, tilt: Tilt, outcomes: tuple[bool, ...]) -> None:
        self.tilt, self.outcomes = tilt, outcomes
        self.coins, self.chance, self.used = Coins(SUBJECT), 1.0, 0

    def toss(self, host: int, direct: bool) -> bool:
        tilted = self.tilt.loss if host == self.tilt.at else self.tilt.far if direct else None
        loss = LOSS if tilted is None else tilted
        lost = self.outcomes[self.used]
        self.used += 1
        self.chance *= loss if lost else 1 - loss
        self.coins.toss(host, direct, lost)
        return lost


def runs(tilt: Tilt) -> Iterator[tuple[bool, Coins, float]]:
    """All that can happen: whether it was ruin, the coins, and the probability under the tilt."""
    for outcomes in itertools.product((True, False), repeat=8):
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
    assert 1e-3 < found < 0.1


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
        coins.toss(1, True, lost=True)
    assert weight([Tilt(1.0, 1, 0.9)], coins, LOSS, HOSTS) == 0.0
    for _ in range(5000):
        coins.toss(2, True, lost=False)
    assert weight([Tilt(1.0, far=0.9), Tilt(1.0)], coins, LOSS, HOSTS) <= 2.0


def sealed(message: messages.Message) -> bytes:
    signer = KeyedHash(1)
    return seal(PoolId(bytes(16)), signer.id, 1, messages.encode(message), signer)


def carried(network: TiltedNetwork, source: int, target: int, payload: bytes) -> float:
    """The share that was lost of many."""
    draw = random.Random(1)
    lost = sum(not network.passed(draw, 0.0, source, target, payload) for _ in range(2000))
    return lost / 2000


def test_the_network_loses_more_of_what_the_tilt_concerns_and_counts_all_that_concerns_the_subject() -> None:
    network = TiltedNetwork(Network(loss=LOSS))
    subject = NodeId(bytes(range(16)))
    news = sealed(Relayed(1, bytes(97) + subject))
    assert carried(network, 0, 1, b"before anybody is followed") == pytest.approx(LOSS, abs=0.03)
    network.follow(SUBJECT, subject, Tilt(1.0, at=1, loss=0.7, far=0.4))
    assert network.coins.at() == {}
    assert carried(network, 0, 1, b"direct") == pytest.approx(0.7, abs=0.03)
    assert carried(network, 1, 0, b"direct") == pytest.approx(0.7, abs=0.03)
    assert carried(network, 2, 1, news) == pytest.approx(0.7, abs=0.03)
    assert carried(network, 1, 2, news) == pytest.approx(LOSS, abs=0.03)
    assert carried(network, 0, 2, b"direct, elsewhere") == pytest.approx(0.4, abs=0.03)
    assert carried(network, 1, 2, b"of others") == pytest.approx(LOSS, abs=0.03)
    counted = {host: sum(counts) for host, counts in network.coins.at().items()}
    assert counted == {1: 6000, 2: 4000}
    assert sum(network.coins.everywhere()) == 6000


def test_asking_for_what_the_subject_says_concerns_it() -> None:
    subject = NodeId(bytes(range(16)))
    network = TiltedNetwork(Network(loss=LOSS))
    network.follow(SUBJECT, subject, Tilt(1.0, at=1, loss=0.7))
    key = place_key(Liveness.kind, subject)

    assert carried(network, 1, 2, sealed(Pull((key,)))) == pytest.approx(0.7, abs=0.03)
    assert carried(network, 1, 2, sealed(Rumours((Rumour(key, (1, 1), bytes(4)),)))) == pytest.approx(
        LOSS, abs=0.03
    )
    assert carried(network, 1, 2, sealed(Pull((place_key(Record.kind, subject),)))) == pytest.approx(
        LOSS, abs=0.03
    )
    assert sum(network.coins.at()[1]) == 2000
