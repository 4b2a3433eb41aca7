"""The table alone, with ranges as its caller gives them; that its plans are optimal is the planner's test."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leader.model.engine_settings import EngineSettings
from leader.placement.cost import MAX_DEVICES, Device, Range, demand
from leader.placement.placement_table import _window, best_counts
from tests.leader.shapes import host, model_info, worker

MODEL = model_info()
WANTS = demand(MODEL, EngineSettings(512, 1), 1)


def span(low: int, high: int, high_head: int) -> Range:
    """Room for ``high`` layers without and ``high_head`` with the head; -1: not possible."""
    layer = WANTS.layers[0]
    return Range(low, 99, high * layer + layer // 2, high_head * layer + layer // 2)


ANY = span(0, 8, 8)


def counts(devices: list[Device], ranges: list[Range]) -> list[tuple[int, bool]] | None:
    return best_counts(MODEL, WANTS, devices, ranges)


@given(
    st.lists(st.sampled_from([0.0, 1.0, 2.5, 7.0, float("inf")]), min_size=1, max_size=12),
    st.integers(0, 12),
    st.integers(-1, 14),
    st.sampled_from([0.0, 0.5, 2.0]),
)
def test_the_sliding_minimum_is_what_its_definition_says(
    before: list[float], low: int, high: int, slope: float
) -> None:
    wanted = [
        min((before[n - taken] + taken * slope for taken in range(low, min(high, n) + 1)), default=np.inf)
        for n in range(len(before))
    ]
    assert _window(np.array(before), low, high, slope).tolist() == pytest.approx(wanted)


def test_all_goes_to_the_host_where_it_fits_and_the_rest_is_no_faster() -> None:
    assert counts([host(), worker(1)], [ANY, ANY]) == [(8, True), (0, False)]


def test_a_device_that_must_hold_layers_does() -> None:
    assert counts([host(), worker(1)], [ANY, span(3, 3, 3)]) == [(5, True), (3, False)]


def test_the_head_goes_where_it_has_room() -> None:
    assert counts([host(), worker(1)], [span(0, 5, -1), ANY]) == [(5, False), (3, True)]


def test_a_host_without_layers_may_hold_the_head_and_a_worker_may_not() -> None:
    assert counts([host(), worker(1)], [span(0, 0, 0), span(0, 8, -1)]) == [(0, True), (8, False)]
    assert counts([host(), worker(1)], [span(0, 8, -1), span(0, 0, 0)]) is None


def test_what_does_not_fit_has_no_counts() -> None:
    assert counts([host(), worker(1)], [span(0, 4, 4), span(0, 3, 3)]) is None


def test_of_more_devices_than_the_engine_takes_some_stay_unused() -> None:
    model = model_info(n_layers=MAX_DEVICES + 1)
    devices = [host(), *(worker(number) for number in range(1, MAX_DEVICES + 2))]
    one = span(0, 1, 1)
    ranges = [span(0, 0, -1), *[one] * (MAX_DEVICES + 1)]
    assert best_counts(model, demand(model, EngineSettings(512, 1), 1), devices, ranges) is None
    ranges[0] = one
    found = best_counts(model, demand(model, EngineSettings(512, 1), 1), devices, ranges)
    assert found is not None
    assert sum(layers > 0 for layers, _ in found[1:]) == MAX_DEVICES
