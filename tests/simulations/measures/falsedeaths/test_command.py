import math
import random

import pytest

from mesh.protocol.base.settings import Settings
from mesh.protocol.membership.flap_detection import FlapDetector
from simulations.measures.falsedeaths.command import WINDOW, Followed, Hours, goal_at, together, withdrawals
from simulations.measures.falsedeaths.episodes import Episode

NODES = 100
LOSS = 0.2


def pool(episodes: list[Episode], **counted: int) -> Hours:
    return Hours(NODES, 10.0, followed=[Followed(10, episode) for episode in episodes], **counted)


def test_what_was_sampled_becomes_a_rate_by_how_often_probes_begin() -> None:
    """Ten probes begin within the window, of a hundred members; one in four of them began a suspicion."""
    told = together([pool([Episode(1e-6), Episode(), Episode(), Episode()] * 25)], LOSS, Settings())
    probes_an_hour = 10 / NODES * 3600 / WINDOW
    assert told["suspicions_estimated"] == pytest.approx(probes_an_hour * 1e-6 / 4)
    assert told["worth"] == 25.0
    assert told["suspicions_estimated"] < told["suspicions_upper"] < 1.5 * told["suspicions_estimated"]


def test_suspicions_that_did_not_kill_bound_the_rate() -> None:
    told = together([pool([Episode(1e-8)] * 1000)], LOSS, Settings())
    assert told["killed, not tilted"] == 0
    assert told["death_given_suspicion_upper"] == pytest.approx(-math.log(0.025) / 1000, rel=0.01)
    product = told["suspicions_upper"] * told["death_given_suspicion_upper"]
    assert told["upper"] == pytest.approx(product + told["withdrawals_computed"])


def test_a_copy_that_killed_raises_the_bound() -> None:
    spared = together([pool([Episode(1e-8)] * 100)], LOSS, Settings())
    killed = together([pool([Episode(1e-8)] * 99 + [Episode(1e-8, 1e-9, True, 1)])], LOSS, Settings())
    assert killed["upper"] > 1.3 * spared["upper"]
    assert killed["deaths_estimated"] > 0 == spared["deaths_estimated"]
    assert spared["sampled_upper"] is None
    assert killed["deaths_estimated"] < killed["sampled_upper"] < 10 * killed["deaths_estimated"]


def test_few_heavy_weights_are_worth_little() -> None:
    even = together([pool([Episode(1e-8)] * 100)], LOSS, Settings())
    uneven = together([pool([Episode(1e-8)] * 99 + [Episode(1e-5)])], LOSS, Settings())
    assert uneven["worth"] < 2
    assert uneven["upper"] > 500 * even["upper"]


def test_without_a_suspicion_sampled_the_hours_alone_bound_the_rate() -> None:
    told = together([pool([Episode()] * 5, suspicions=3, deaths=1)], LOSS, Settings())
    assert told["death_given_suspicion_upper"] == 1.0
    assert told["suspicions_per_node_hour"] == 0.3
    assert 0.3 < told["direct_upper"] < told["upper"]


def test_withdrawals_are_computed_as_they_happen() -> None:
    """At a loss at which they are frequent: the protocol's own rule, fed with coins."""
    settings, source, loss, probes = Settings(), random.Random(1), 0.4, 200_000
    rule, seen = FlapDetector(settings), 0
    for _ in range(probes):
        rule.probed(0.0, source.random() < (1 - loss) ** 2, NODES)
        if not rule.stable:
            seen += 1
            rule.restart()
    computed = withdrawals(loss, settings) * probes * settings.probe_period / 3600 / 2
    assert seen > 500
    assert computed == pytest.approx(seen, rel=4 / math.sqrt(seen))


def test_withdrawals_at_the_loss_that_is_to_be_survived_are_below_the_goals() -> None:
    assert withdrawals(0.05, Settings()) < 1e-6 * goal_at(0.05)
    assert withdrawals(0.2, Settings()) < 0.01 * goal_at(0.2)
    assert goal_at(0.05) < goal_at(0.2)
