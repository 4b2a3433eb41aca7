"""Unequal layers: the optimum of brute force over all orders for few devices, and what is said for many."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leader.model.engine_settings import EngineSettings
from leader.model.layer_caches import LayerCache
from leader.model.model_info import ModelInfo
from leader.placement import placement_search
from leader.placement.cost import (
    Device,
    DeviceKey,
    demand,
    entry_seconds,
    head_extra_seconds,
    layers_before,
)
from leader.placement.infeasible import Infeasible
from leader.placement.planner import Plan, place
from tests.leader.shapes import GIB, MIB, full, model_info

SETTINGS = EngineSettings(512)


@dataclass(frozen=True)
class Case:
    """A model with layers of all sizes, and a pool."""

    model: ModelInfo
    devices: list[Device]
    fixed: dict[DeviceKey, int]


@st.composite
def cases(draw: st.DrawFn, most_layers: int = 6, most_devices: int = 4) -> Case:
    sizes = draw(st.lists(st.sampled_from([0, 1, 4, 8, 30]), min_size=1, max_size=most_layers))
    caches = draw(st.lists(st.sampled_from([0, 512, 8192]), min_size=len(sizes), max_size=len(sizes)))
    kept = tuple(full(elements) for elements in caches)
    model = replace(model_info(), layer_bytes=tuple(size * MIB for size in sizes), caches=kept)
    devices = [
        Device(
            member=bytes([number // 2]) * 16,
            name=f"m{number}",
            memory_offered=draw(st.integers(0, 14)) * 10 * MIB,
            layer_seconds=draw(st.sampled_from([0.001, 0.002, 0.0035, 0.02])),
            rtt=0.0 if number == 0 else draw(st.sampled_from([0.0002, 0.001, 0.02])),
            down=draw(st.sampled_from([1e6, 1e8])),
            local=number == 0,
            device=f"CUDA{number}",
        )
        for number in range(draw(st.integers(1, most_devices)))
    ]
    if len(devices) > 1 and draw(st.booleans()):
        devices.pop(0)
    keys = st.sampled_from([device.key for device in devices])
    return Case(model, devices, draw(st.dictionaries(keys, st.integers(0, 3), max_size=1)))


def costs(case: Case) -> Iterator[float]:
    """Of every placement that fits: any subset in any order, the host first, the head on it or at the end."""
    model, wants = case.model, demand(case.model, SETTINGS, 1)
    before, size = layers_before(model), model.n_layers
    host = next((device for device in case.devices if device.host), None)
    others = [device for device in case.devices if not device.host]
    for count in range(len(others) + 1):
        for order in itertools.permutations(others, count):
            line = [*([host] if host else []), *order]
            for cuts in itertools.combinations_with_replacement(range(size + 1), max(0, len(line) - 1)):
                ends = [0, *cuts, size]
                for head in {len(line) - 1, 0} if line else ():
                    held = dict.fromkeys((device.key for device in case.devices), 0)
                    cost = 0.0
                    for at, device in enumerate(line):
                        first, layers = ends[at], ends[at + 1] - ends[at]
                        has_head = at == head
                        if not layers and not device.host:
                            break
                        if has_head and at < len(line) - 1 and not device.host:
                            break
                        used = layers or has_head
                        needed = wants.needed(device, first, layers, has_head)
                        if used and needed > device.memory_offered:
                            break
                        held[device.key] = layers
                        if used:
                            cost += entry_seconds(wants, device)
                            cost += device.layer_seconds * (before[first + layers] - before[first])
                            cost += head_extra_seconds(model, wants, device) if has_head else 0.0
                    else:
                        if all(held[key] == count for key, count in case.fixed.items()):
                            yield cost


def check(plan: Plan, case: Case) -> None:
    """It is a whole placement, within memory, and its seconds are what they are said to be."""
    wants, before = plan.wants, layers_before(case.model)
    first = 0
    for number, stage in enumerate(plan.stages):
        assert stage.first == first
        assert not stage.device.host or number == 0
        assert not stage.head or stage.device.host or number == len(plan.stages) - 1
        assert stage.layers or stage.device.host
        assert stage.bytes == wants.needed(stage.device, first, stage.layers, stage.head)
        assert stage.bytes <= stage.device.memory_offered
        first += stage.layers
        spent = stage.device.layer_seconds * (before[first] - before[stage.first])
        assert stage.layer_seconds == pytest.approx(spent)
    assert first == case.model.n_layers
    assert sum(stage.head for stage in plan.stages) == 1
    for key, count in case.fixed.items():
        assert sum(stage.layers for stage in plan.stages if stage.device.key == key) == count


@settings(max_examples=300, deadline=None)
@given(case=cases())
def test_unequal_layers_cost_what_brute_force_over_all_orders_finds(case: Case) -> None:
    least = min(costs(case), default=math.inf)
    if least == math.inf:
        with pytest.raises(Infeasible):
            place(case.model, case.devices, SETTINGS, case.fixed)
        return
    plan = place(case.model, case.devices, SETTINGS, case.fixed)
    assert plan.step_seconds == pytest.approx(least, rel=1e-9)
    check(plan, case)


@settings(max_examples=100, deadline=None)
@given(case=cases(most_layers=12, most_devices=9))
def test_many_devices_get_a_placement_no_worse_than_with_equal_layers(case: Case) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(placement_search, "most_devices", lambda n_layers: 2)
        try:
            plan = place(case.model, case.devices, SETTINGS, case.fixed)
        except Infeasible:
            plan = None
    if plan is not None:
        check(plan, case)
    exact = place(case.model, case.devices, SETTINGS, case.fixed) if plan is not None else None
    assert plan is None or exact is None or exact.step_seconds <= plan.step_seconds * (1 + 1e-9)
    largest = max(case.model.layer_bytes)
    equal = replace(
        case.model,
        layer_bytes=(largest,) * case.model.n_layers,
        caches=(max(case.model.caches, key=lambda cache: cache.widest),) * case.model.n_layers,
    )
    if largest:
        try:
            found = place(equal, case.devices, SETTINGS, case.fixed)
        except Infeasible:
            return
        assert plan is not None
        assert plan.step_seconds <= found.step_seconds * (1 + 1e-9)


def hybrid() -> ModelInfo:
    """Large, small and tiny layers, 17.9 GiB in all."""
    sizes = (*[750 * MIB] * 23, *[40 * MIB] * 23, *[30 * MIB] * 6)
    return replace(model_info(), layer_bytes=sizes, caches=(LayerCache(),) * len(sizes))


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("leads", [True, False])
def test_a_hybrid_of_large_and_small_layers_fits_where_their_sum_does(order: int, leads: bool) -> None:
    model = replace(hybrid(), layer_bytes=hybrid().layer_bytes[::order])
    devices = [
        Device(b"a" * 16, "large", 16 * GIB, 0.01, local=leads),
        Device(b"b" * 16, "small", 12 * GIB, 0.01, rtt=0.001),
    ]
    plan = place(model, devices, SETTINGS)
    check(plan, Case(model, devices, {}))
    with pytest.raises(Infeasible, match="holds at most") as caught:
        place(model, [devices[0]], SETTINGS)
    assert 0 < caught.value.missing < 3 * GIB


def test_which_order_fits_is_found_though_another_is_nearer() -> None:
    """The far device alone holds the large layers, which come first."""
    model = replace(model_info(), layer_bytes=(*[100 * MIB] * 4, *[10 * MIB] * 4), caches=(LayerCache(),) * 8)
    near = Device(b"n" * 16, "near", 80 * MIB, 0.01, rtt=0.0001)
    far = Device(b"f" * 16, "far", 450 * MIB, 0.01, rtt=0.02)
    plan = place(model, [near, far], SETTINGS)
    assert [stage.device.name for stage in plan.stages] == ["far", "near"]
    check(plan, Case(model, [near, far], {}))
