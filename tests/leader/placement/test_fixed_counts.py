"""Numbers of layers for members, over their devices."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from leader.model.engine_settings import EngineSettings
from leader.placement.cost import Device, demand
from leader.placement.fixed_counts import MOST_TRIES, spreads
from leader.placement.planner import place
from tests.leader.shapes import GIB, MIB, host, model_info, worker

MODEL = model_info(8)
WANTS = demand(MODEL, EngineSettings(512), 1)
MEMBER = worker(1).member


def device(name: str, holds: int, seconds: float = 0.001) -> Device:
    """One of a machine's, with room for so many layers."""
    memory = WANTS.overhead(worker(1)) + holds * WANTS.layers[0]
    return replace(worker(1, memory, seconds), device=name, name=f"w1/{name}")


SLOW, FAST = device("CPU", 8, 0.01), device("CUDA0", 3)


def test_a_members_number_fills_its_fastest_device_first() -> None:
    assert next(spreads(WANTS, [SLOW, FAST], {(MEMBER, ""): 5})) == {FAST.key: 3, SLOW.key: 2}
    plan = place(MODEL, [SLOW, FAST, host(GIB)], EngineSettings(512), {(MEMBER, ""): 5})
    assert {stage.device.name: stage.layers for stage in plan.stages} == {
        "host": 3,
        "w1/CUDA0": 3,
        "w1/CPU": 2,
    }


def test_a_devices_number_is_its_own_and_none_is_none_for_all() -> None:
    assert list(spreads(WANTS, [SLOW, FAST], {SLOW.key: 1})) == [{SLOW.key: 1}]
    assert list(spreads(WANTS, [SLOW, FAST], {(MEMBER, ""): 0})) == [{FAST.key: 0, SLOW.key: 0}]
    only = worker(2)
    assert list(spreads(WANTS, [SLOW, only], {only.key: 4})) == [{only.key: 4}]


def test_where_the_head_takes_the_room_less_goes_to_the_fastest() -> None:
    """The two fastest hold all layers, and then neither has room for the head."""
    devices = [device("CUDA0", 5, 0.001), device("CUDA1", 3, 0.002), device("CPU", 1, 0.01)]
    plan = place(MODEL, devices, EngineSettings(512), {(MEMBER, ""): 8})
    assert {stage.device.device: stage.layers for stage in plan.stages} == {"CUDA0": 5, "CUDA1": 2, "CPU": 1}


@given(st.lists(st.integers(0, 8), min_size=1, max_size=4), st.integers(0, 20))
def test_what_is_asked_for_is_always_spread_and_tries_are_few(holds: list[int], count: int) -> None:
    devices = [device(f"CUDA{number}", layers) for number, layers in enumerate(holds)]
    found = list(spreads(WANTS, devices, {(MEMBER, ""): count}))
    assert 0 < len(found) <= MOST_TRIES
    for counts in found:
        assert sum(counts.values()) == count
        if count <= sum(holds):
            assert all(0 <= counts[one.key] <= layers for one, layers in zip(devices, holds, strict=True))


def test_another_machines_devices_stay_free() -> None:
    assert list(spreads(WANTS, [worker(2), host(60 * MIB)], {(MEMBER, ""): 3})) == [{}]
