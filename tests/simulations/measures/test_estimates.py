import math
import random

import pytest

from simulations.measures.estimates import (
    effective,
    enough_for,
    mean_upper,
    percentile,
    percentile_bound,
    proportion_upper,
    rate_upper,
    summary,
)


def test_a_percentile_is_a_sample_with_that_share_at_or_below_it() -> None:
    samples = [float(each) for each in range(100, 0, -1)]
    assert percentile(samples, 0.5) == 50
    assert percentile(samples, 0.99) == 99
    assert percentile(samples, 1.0) == 100
    assert percentile([3.0], 0.99) == 3


def test_a_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="needs samples"):
        percentile([], 0.5)


def test_99_per_cent_needs_a_hundred_samples_and_its_bound_three_hundred() -> None:
    assert enough_for(0.99) == 100
    assert enough_for(0.999) == 1000
    samples = [float(each) for each in range(298)]
    assert percentile_bound(samples, 0.99) is None
    assert percentile_bound([*samples, 298.0], 0.99) == 298


def test_the_bound_of_a_percentile_holds_as_often_as_it_says() -> None:
    source = random.Random(7)
    truth = -math.log(0.1)
    trials = 400
    held = 0
    for _ in range(trials):
        bound = percentile_bound([source.expovariate(1) for _ in range(100)], 0.9)
        held += bound is not None and bound >= truth
    assert held / trials >= 0.93


def test_no_hit_in_n_trials_bounds_a_probability_by_three_in_n() -> None:
    assert proportion_upper(0, 1000) == pytest.approx(1 - 0.05 ** (1 / 1000))
    assert proportion_upper(0, 1000) == pytest.approx(3 / 1000, rel=0.01)


def test_the_bounds_are_those_of_the_tables() -> None:
    assert proportion_upper(2, 20) == pytest.approx(0.2826, abs=1e-4)
    assert proportion_upper(20, 20) == 1.0
    assert rate_upper(0, 1.0) == pytest.approx(2.9957, abs=1e-4)
    assert rate_upper(3, 10.0) == pytest.approx(0.77537, abs=1e-4)
    assert rate_upper(0, 0.0) == math.inf


def test_a_summary_tells_of_p99_only_when_there_are_enough_repeats() -> None:
    few = summary([1.0, 2.0, 4.0])
    assert few["median"] == 2.0
    assert few["maximum"] == 4.0
    assert few["repeats"] == 3
    assert "p99" not in few
    many = summary([float(each) for each in range(1, 301)])
    assert many["p99"] == 297
    assert many["p99_upper_95"] == 300


def test_weights_are_worth_as_many_trials_as_equal_ones_would_be() -> None:
    assert effective([2.0] * 7 + [0.0] * 5) == pytest.approx(7)
    assert effective([1000.0] + [1.0] * 100) < 1.3
    assert effective([0.0, 0.0]) == 0.0


def test_the_bound_of_a_mean_of_weights_is_normal_with_many_hits_and_careful_with_few() -> None:
    many = [1.0] * 50 + [0.0] * 50
    assert mean_upper(many) == pytest.approx(0.5 + 1.645 * 0.0503, abs=1e-3)
    few = [3.0] + [0.0] * 99
    assert mean_upper(few) == pytest.approx(4.744 / 100 * 3.0, rel=1e-3)
    assert mean_upper([0.0] * 10) is None
