import math
import random

import pytest

from simulations.measures.percentiles import enough_for, percentile, percentile_bound, summary


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


def test_a_summary_tells_of_p99_only_when_there_are_enough_repeats() -> None:
    few = summary([1.0, 2.0, 4.0])
    assert few["median"] == 2.0
    assert few["maximum"] == 4.0
    assert few["repeats"] == 3
    assert "p99" not in few
    many = summary([float(each) for each in range(1, 301)])
    assert many["p99"] == 297
    assert many["p99_upper_95"] == 300
