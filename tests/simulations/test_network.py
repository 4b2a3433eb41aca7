from random import Random

import pytest

from simulations.network import HEADER, LinkFault, Network, flipped

ALL = frozenset({0, 1, 2, 3})
PAYLOAD = bytes(range(200))


def test_what_is_still_to_be_sent_delays_nothing_that_is_sent_now() -> None:
    network, random = Network(), Random(1)
    network.faults = (LinkFault(rate=1e6, queue=0.1),)
    for _ in range(100):
        network.passed(random, 11.0, 0, 1, PAYLOAD, ahead=True)
    arrivals = [when for _ in range(20) for when, _ in network.passed(random, 10.0, 0, 1, PAYLOAD)]
    assert arrivals
    assert max(arrivals) < 10.3


def _passed(fault: LinkFault, times: int = 400, payload: bytes = PAYLOAD) -> list[tuple[float, bytes]]:
    network, random = Network(), Random(1)
    network.faults = (fault,)
    return [arrival for _ in range(times) for arrival in network.passed(random, 10.0, 0, 1, payload)]


def test_a_whole_network_delays_and_nothing_else() -> None:
    network, random = Network(delay=0.01, jitter=0.002), Random(1)
    arrivals = [network.passed(random, 5.0, 0, 1, PAYLOAD) for _ in range(50)]
    assert all(len(arrival) == 1 and arrival[0][1] == PAYLOAD for arrival in arrivals)
    assert all(5.01 <= arrival[0][0] <= 5.012 for arrival in arrivals)


def test_loss_takes_its_share() -> None:
    assert 280 - 40 < len(_passed(LinkFault(loss=0.3))) < 280 + 40


def test_duplication_brings_some_twice() -> None:
    assert 600 - 40 < len(_passed(LinkFault(duplicate=0.5))) < 600 + 40


def test_corruption_flips_bits_and_keeps_the_length() -> None:
    damaged = [data for _, data in _passed(LinkFault(corrupt=0.5)) if data != PAYLOAD]
    assert 200 - 40 < len(damaged) < 200 + 40
    assert {len(data) for data in damaged} == {len(PAYLOAD)}


def test_flipping_changes_one_to_eight_bits() -> None:
    random = Random(1)
    for _ in range(100):
        changed = flipped(PAYLOAD, random)
        bits = sum((a ^ b).bit_count() for a, b in zip(PAYLOAD, changed, strict=True))
        assert 0 <= bits <= 8
    assert flipped(b"", random) == b""


def test_truncation_takes_the_end() -> None:
    short = [data for _, data in _passed(LinkFault(truncate=1.0))]
    assert all(PAYLOAD.startswith(data) for data in short)
    assert len({len(data) for data in short}) > 100


def test_packets_above_the_mtu_vanish_and_others_pass() -> None:
    hole = LinkFault(mtu=200 + HEADER)
    assert len(_passed(hole, 10)) == 10
    assert _passed(hole, 10, PAYLOAD + b"x") == []


def test_a_heavy_tail_reorders() -> None:
    times = [when for when, _ in _passed(LinkFault(tail=0.05))]
    assert times != sorted(times)
    assert max(times) > 10.5
    assert sorted(times)[len(times) // 2] < 10.1


def test_behind_weights_packets_queue_and_some_are_dropped() -> None:
    arrivals = _passed(LinkFault(rate=20000.0, queue=0.4), 20)
    assert arrivals
    assert min(when for when, _ in arrivals) > 10.2
    assert len(_passed(LinkFault(rate=20000.0, queue=0.4), 400)) < 100


def test_a_clogged_link_holds_everything_until_it_is_free() -> None:
    assert all(12.0 < when < 12.002 for when, _ in _passed(LinkFault(holds_until=12.0)))


def test_a_cut_can_be_one_way_or_leave_a_bridge() -> None:
    network = Network()
    network.faults = (LinkFault(frozenset({0}), frozenset({1}), cut=True),)
    assert not network.connects(0, 1)
    assert network.connects(1, 0)
    one, other = frozenset({0, 1}), frozenset({3})
    network.faults = (LinkFault(one, other, cut=True), LinkFault(other, one, cut=True))
    assert network.connects(0, 2)
    assert network.connects(2, 3)
    assert not network.connects(0, 3)


def test_sides_part_the_network() -> None:
    network = Network(sides={1: 1})
    assert not network.connects(0, 1)
    assert network.connects(0, 2)


@pytest.mark.parametrize("fault", [LinkFault(loss=0.5), LinkFault(frozenset({0}), ALL, loss=0.5)])
def test_faults_add_up(fault: LinkFault) -> None:
    network = Network()
    network.faults = (
        fault,
        LinkFault(loss=0.5, delay=0.1),
        LinkFault(delay=0.2, mtu=500),
        LinkFault(mtu=900),
    )
    path = network.path(0, 1)
    assert path.loss == pytest.approx(0.75)
    assert path.delay == pytest.approx(0.3)
    assert path.mtu == 500
    network.faults = ()
    assert network.path(0, 1).loss == 0.0
