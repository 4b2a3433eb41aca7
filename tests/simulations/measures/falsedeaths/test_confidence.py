import math

import pytest

from simulations.measures.falsedeaths.confidence import effective, mean_upper, proportion_upper, rate_upper


def test_no_hit_in_n_trials_bounds_a_probability_by_three_in_n() -> None:
    assert proportion_upper(0, 1000) == pytest.approx(1 - 0.05 ** (1 / 1000))
    assert proportion_upper(0, 1000) == pytest.approx(3 / 1000, rel=0.01)


def test_the_bounds_are_those_of_the_tables() -> None:
    assert proportion_upper(2, 20) == pytest.approx(0.2826, abs=1e-4)
    assert proportion_upper(20, 20) == 1.0
    assert rate_upper(0, 1.0) == pytest.approx(2.9957, abs=1e-4)
    assert rate_upper(3, 10.0) == pytest.approx(0.77537, abs=1e-4)
    assert rate_upper(0, 0.0) == math.inf


def test_weights_are_worth_as_many_trials_as_equal_ones_would_be() -> None:
    assert effective([2.0] * 7 + [0.0] * 5) == pytest.approx(7)
    assert effective([1000.0] + [1.0] * 100) < 1.3
    assert effective([0.0, 0.0]) == 0.0


def test_the_bound_of_a_mean_is_normal_with_many_hits_and_careful_with_few() -> None:
    many = [1.0] * 50 + [0.0] * 50
    assert mean_upper(many) == pytest.approx(0.5 + 1.645 * 0.0503, abs=1e-3)
    few = [3.0] + [0.0] * 99
    assert mean_upper(few) == pytest.approx(4.744 / 100 * 3.0, rel=1e-3)
    assert mean_upper([0.0] * 10) is None
