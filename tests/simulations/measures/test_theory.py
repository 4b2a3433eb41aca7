"""The limits against what they approximate: drawn probes, and gossip that loses nothing."""

import math
import random

import pytest

from mesh.protocol.base.settings import Settings
from simulations.measures.theory import (
    dead_process_known,
    first_probe,
    rounds_to_all,
    shortest_suspicion,
    silent_crash_known,
)

SETTINGS = Settings()


@pytest.mark.parametrize("nodes", [4, 30])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_the_first_probe_comes_when_drawn_phases_say(nodes: int, share: float) -> None:
    chance, others = random.Random(1), nodes - 1
    span = others * SETTINGS.probe_period
    drawn = sorted(min(chance.uniform(0, span) for _ in range(others)) for _ in range(20_000))
    assert first_probe(share, nodes, SETTINGS) == pytest.approx(drawn[int(share * len(drawn))], rel=0.05)


def test_in_a_large_pool_the_first_probe_no_longer_depends_on_its_size() -> None:
    limit = -math.log(1 - 0.99) * SETTINGS.probe_period
    assert first_probe(0.99, 100_000, SETTINGS) == pytest.approx(limit, rel=1e-3)


def test_a_suspicion_grows_by_one_of_its_kind_for_each_factor_of_ten_above_a_hundred() -> None:
    one = SETTINGS.suspicion_timeout
    seconds = [shortest_suspicion(nodes, SETTINGS) for nodes in (2, 100, 1000, 10_000)]
    assert seconds == pytest.approx([one, one, 2 * one, 3 * one])


def test_a_process_that_is_seen_to_be_gone_is_known_sooner_than_a_silent_machine() -> None:
    for nodes in (3, 100, 1000):
        silent = silent_crash_known(0.99, nodes, SETTINGS)
        assert first_probe(0.99, nodes, SETTINGS) < dead_process_known(0.99, nodes, SETTINGS) < silent


def test_gossip_to_four_takes_no_less_than_the_rounds_that_count_all() -> None:
    for nodes in (10, 1000):
        assert rounds_to_all(nodes) > math.log(nodes, 5)
        assert rounds_to_all(10 * nodes) < rounds_to_all(nodes) + 3
