"""Windows of unequal layers: their least cost is what the definition says."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leader.model.engine_settings import EngineSettings
from leader.model.layer_caches import LayerCache
from leader.placement.cost import (
    Range,
    demand,
    entry_seconds,
    head_extra_seconds,
    layers_before,
)
from leader.placement.windows import Windows
from tests.leader.shapes import MIB, host, model_info, worker

SIZES = (8 * MIB, MIB, 0, 20 * MIB, MIB, 8 * MIB)
MODEL = replace(model_info(), layer_bytes=SIZES, caches=(LayerCache(),) * len(SIZES))
WANTS = demand(MODEL, EngineSettings(512), 1)


@given(
    before=st.lists(st.sampled_from([0.0, 1.0, 2.5, float("inf")]), min_size=7, max_size=7),
    low=st.integers(0, 3),
    high=st.integers(-1, 7),
    room=st.integers(-1, 40),
    leads=st.booleans(),
    head=st.booleans(),
)
def test_the_least_over_all_windows_is_what_its_definition_says(
    before: list[float], low: int, high: int, room: int, leads: bool, head: bool
) -> None:
    device = host() if leads else worker(1)
    windows = Windows(MODEL, WANTS, device, Range(low, high, room * MIB, room * MIB))
    times = layers_before(MODEL)
    fixed = entry_seconds(WANTS, device) + (head_extra_seconds(MODEL, WANTS, device) if head else 0.0)
    wanted = []
    for end in range(7):
        costs = [
            before[first] + device.layer_seconds * (times[end] - times[first]) + fixed
            for first in range(end + 1)
            if max(low, 0 if leads else 1) <= end - first <= high and 0 <= sum(SIZES[first:end]) <= room * MIB
        ]
        wanted.append(min(costs, default=np.inf))
    table = np.array(before)
    assert windows.taken(table, head).tolist() == pytest.approx(wanted)
    both = windows.taken(np.stack([table, table + 1], axis=1), head)
    assert both.T.tolist() == [pytest.approx(wanted), pytest.approx([one + 1 for one in wanted])]
    assert [windows.best(table, end, head)[0] for end in range(7)] == pytest.approx(wanted)
    if head:
        assert windows.end(table) == pytest.approx(wanted[-1])


def test_what_holds_nothing_is_not_usable_and_what_is_to_hold_some_is_needed() -> None:
    assert not Windows(MODEL, WANTS, worker(1), Range(0, 6, -1, -1)).usable
    assert not Windows(MODEL, WANTS, worker(1), Range(0, 0, MIB, MIB)).usable
    assert Windows(MODEL, WANTS, host(), Range(0, 0, 0, 0)).usable, "it may have the head alone"
    assert Windows(MODEL, WANTS, worker(1), Range(2, 2, 0, 0)).needed
    assert not Windows(MODEL, WANTS, worker(1), Range(0, 2, 0, 0)).needed
