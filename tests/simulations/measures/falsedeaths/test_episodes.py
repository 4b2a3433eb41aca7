import random

import pytest

from mesh.protocol.base.settings import Settings
from simulations.measures.branches import each_in_branch
from simulations.measures.falsedeaths.episode_watch import EpisodeWatch
from simulations.measures.falsedeaths.episodes import (
    USUAL,
    Episode,
    follow,
    probes_due,
    tilts_of_probe,
    tilts_of_suspicion,
)
from simulations.measures.ready_pool import ready
from simulations.world import World

LOSS = 0.2
WORSE = Settings(relays=0, retry=1.0)
"""Asks once and nobody else: suspicions are frequent."""


def followed(seed: int, count: int) -> list[Episode]:
    """Probes of one pool, each from the same start."""
    world = ready(5, 1, WORSE)
    world.network.loss = LOSS
    world.run(5.0)
    watch, source = EpisodeWatch(world), random.Random(seed)
    host, due = probes_due(world, 1.0)[0]
    seeds = [source.getrandbits(60) for _ in range(count)]
    return list(each_in_branch(lambda seed: follow(world, watch, host, due, seed), seeds))


@pytest.fixture(scope="module")
def episodes() -> list[Episode]:
    return followed(1, 30)


def test_probes_that_fail_begin_suspicions_and_weigh_no_more_than_the_mixture_allows(
    episodes: list[Episode],
) -> None:
    begun = [episode.suspicion for episode in episodes if episode.suspicion]
    assert 5 <= len(begun) < 30
    assert max(begun) <= 1 / USUAL


def test_weights_put_right_how_often_a_probe_fails(episodes: list[Episode]) -> None:
    """There and back fails with 0.36, the four segments of the TCP probe with 0.59; somewhat less often both
    fail and nobody else suspected the subject before."""
    chance = sum(episode.suspicion for episode in episodes) / len(episodes)
    assert 0.03 < chance < 0.4


def test_the_same_seed_follows_the_same_way(episodes: list[Episode]) -> None:
    assert followed(1, 5) == episodes[:5]
    assert followed(2, 5) != episodes[:5]


def test_probes_due_are_those_that_begin() -> None:
    world = ready(6, 1, Settings())
    due = probes_due(world, 0.3)
    assert len(due) == 6
    assert all(world.now <= at < world.now + 0.3 for _, at in due)
    host, at = min(due, key=lambda pair: pair[1])
    assert probes_due(world, at - world.now) == []
    before = sent(world, host.number)
    world.run(at - world.now + 1e-6)
    assert sent(world, host.number) > before


def sent(world: World, number: int) -> int:
    return world.bytes_sent[number]


def test_each_mixture_holds_the_usual_loss_and_its_shares_add_up() -> None:
    probing, suspecting = tilts_of_probe(3, LOSS), tilts_of_suspicion(3, LOSS)
    assert sum(tilt.share for tilt in probing) == pytest.approx(1.0)
    assert probing[0].near is None is probing[0].far
    assert suspecting[0] == suspecting[0]._replace(at=None, near=None, help=None, far=None)
    for tilt in (*probing, *suspecting):
        assert all(LOSS < loss < 1 for loss in (*(tilt.near or ()), *(tilt.help or ())))
