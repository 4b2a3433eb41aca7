"""Placement: always the optimum that brute force finds, within memory, and reasons when there is none."""

import itertools
import time
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from leader.model.engine_settings import EngineSettings
from leader.model.layer_caches import LayerCache
from leader.placement.cost import MAX_DEVICES, Device, demand, entry_seconds, head_extra_seconds
from leader.placement.infeasible import Infeasible
from leader.placement.planner import Plan, place, repriced
from tests.leader.shapes import GIB, MIB, host, model_info, worker


def layers_of(plan: Plan) -> dict[str, int]:
    return {stage.device.name: stage.layers for stage in plan.stages}


def brute_force(
    devices: list[Device], fixed: dict[tuple[bytes, str], int], n_layers: int, slots: int, batch: int
) -> float:
    """Least seconds a step over every choice of counts and head; inf if none fits."""
    model = model_info(n_layers)
    wants = demand(model, EngineSettings(512, slots), batch)
    best = float("inf")
    for counts in itertools.product(range(n_layers + 1), repeat=len(devices)):
        if sum(counts) != n_layers or any(
            fixed.get(device.key, count) != count for device, count in zip(devices, counts, strict=True)
        ):
            continue
        for head in range(len(devices)):
            if not counts[head] and not devices[head].host:
                continue
            if any(
                (count or index == head)
                and wants.needed(device, 0, count, index == head) > device.memory_offered
                for index, (device, count) in enumerate(zip(devices, counts, strict=True))
            ):
                continue
            cost = head_extra_seconds(model, wants, devices[head])
            cost += sum(
                entry_seconds(wants, device) + count * device.layer_seconds
                for device, count in zip(devices, counts, strict=True)
                if count
            )
            best = min(best, cost)
    return best


@st.composite
def pools(draw: st.DrawFn) -> tuple[list[Device], int]:
    n_layers = draw(st.integers(1, 6))
    devices = [
        Device(
            member=bytes([number]) * 16,
            name=f"m{number}",
            memory_offered=draw(st.integers(0, 14)) * 10 * MIB,
            layer_seconds=draw(st.sampled_from([0.001, 0.002, 0.0035, 0.02])),
            rtt=0.0 if number == 0 else draw(st.sampled_from([0.0002, 0.001, 0.02])),
            up=draw(st.sampled_from([1e6, 1e8])),
            down=draw(st.sampled_from([1e6, 1e8])),
            local=number == 0,
        )
        for number in range(draw(st.integers(1, 4)))
    ]
    if draw(st.booleans()):
        devices.pop(0)
    assume(devices)
    return devices, n_layers


@settings(max_examples=400, deadline=None)
@given(pool=pools(), data=st.data())
def test_a_plan_costs_exactly_what_brute_force_finds(
    pool: tuple[list[Device], int], data: st.DataObject
) -> None:
    devices, n_layers = pool
    fixed = data.draw(
        st.dictionaries(
            st.sampled_from([device.key for device in devices]), st.integers(0, n_layers), max_size=2
        )
    )
    objective = data.draw(st.sampled_from(["latency", "throughput"]))
    slots = data.draw(st.integers(1, 3))
    model = model_info(n_layers)
    least = brute_force(devices, fixed, n_layers, slots, slots if objective == "throughput" else 1)
    if least == float("inf"):
        with pytest.raises(Infeasible):
            place(model, devices, EngineSettings(512, slots), fixed, objective)
        return
    plan = place(model, devices, EngineSettings(512, slots), fixed, objective)
    assert plan.step_seconds == pytest.approx(least, rel=1e-9)
    assert sum(stage.layers for stage in plan.stages) == n_layers
    assert [stage.head for stage in plan.stages].count(True) == 1
    assert all(stage.bytes <= stage.device.memory_offered for stage in plan.stages)
    first = 0
    for number, stage in enumerate(plan.stages):
        assert stage.first == first
        assert stage.device.host <= (number == 0)
        assert not stage.head or stage.device.host or number == len(plan.stages) - 1
        first += stage.layers


def test_a_model_that_fits_on_the_leader_runs_there_alone() -> None:
    plan = place(model_info(8), [host(memory=GIB), worker(1), worker(2)], EngineSettings(512, 1))
    assert layers_of(plan) == {"host": 8}
    assert plan.stages[0].head
    assert plan.workers == ()


def test_a_much_faster_worker_takes_everything_from_a_slow_leader() -> None:
    plan = place(
        model_info(8),
        [host(memory=GIB, seconds=0.1), worker(1, seconds=0.001, memory=GIB)],
        EngineSettings(512, 1),
    )
    assert sum(stage.layers for stage in plan.stages if not stage.device.local) == 8


def test_layers_go_to_fewer_and_nearer_devices() -> None:
    near, far = worker(1, rtt=0.001), worker(2, rtt=0.05)
    plan = place(model_info(8), [host(memory=80 * MIB), near, far], EngineSettings(512, 1))
    assert "w2" not in layers_of(plan)


def test_the_memory_rich_but_slow_machine_does_not_get_the_most_layers() -> None:
    slow, quick = worker(1, memory=10 * GIB, seconds=0.05), worker(2, memory=80 * MIB, seconds=0.001)
    layers = layers_of(place(model_info(8), [slow, quick], EngineSettings(512, 1)))
    assert layers["w2"] > layers["w1"]


def test_the_host_has_the_first_layers_and_the_heads_device_the_last() -> None:
    plan = place(model_info(12), [worker(1), worker(2), host(memory=90 * MIB)], EngineSettings(512, 1))
    assert plan.stages[0].device.host
    assert plan.stages[0].first == 0
    assert plan.stages[-1].last == 11


def test_the_head_may_stay_on_the_leader_when_its_logits_would_cross_a_slow_link() -> None:
    slow = worker(1, memory=GIB, down=1e5, up=1e8)
    plan = place(
        replace(model_info(8), n_vocab=100_000),
        [host(memory=60 * MIB, seconds=0.01), slow],
        EngineSettings(512, 1),
    )
    assert plan.stages[0].device.host
    assert plan.stages[0].head


def test_fixed_numbers_are_kept_and_the_rest_is_free() -> None:
    fixed = {worker(2).key: 3, host().key: 0}
    plan = place(
        model_info(8),
        [host(memory=GIB), worker(1, memory=GIB), worker(2, memory=GIB)],
        EngineSettings(512, 1),
        fixed,
    )
    assert layers_of(plan) | {"host": 0} == {"host": 0, "w1": 5, "w2": 3}


def test_no_more_than_fifteen_devices_are_used() -> None:
    devices = [worker(number, memory=45 * MIB) for number in range(1, 41)]
    plan = place(model_info(20), devices, EngineSettings(512, 1))
    assert len(plan.stages) <= MAX_DEVICES
    with pytest.raises(Infeasible):
        place(model_info(80), devices, EngineSettings(512, 1))


def test_more_context_takes_memory_from_layers() -> None:
    devices = [worker(number, memory=220 * MIB) for number in range(1, 5)]
    assert len(place(model_info(16), devices, EngineSettings(512, 1)).stages) < len(
        place(model_info(16), devices, EngineSettings(8192, 1)).stages
    )


def test_an_impossible_model_is_refused_with_what_is_missing_and_who_offered_what() -> None:
    devices = [host(memory=60 * MIB), worker(1, memory=50 * MIB), worker(2, memory=5 * MIB)]
    with pytest.raises(Infeasible) as caught:
        place(model_info(64), devices, EngineSettings(512, 1))
    message = caught.value.message
    assert "are missing" in message
    for offered in ("host 60.0 MiB", "w1 50.0 MiB (holds", "w2 5.0 MiB (too little: one layer needs"):
        assert offered in message
    wants = demand(model_info(64), EngineSettings(512, 1), 1)
    held = sum(max(0, wants.capacity(device, head=False)) for device in devices)
    assert wants.layers[0] * (64 - held) <= caught.value.missing <= wants.layers[0] * (65 - held)


def test_a_fixed_number_beyond_a_machines_memory_names_that_machine() -> None:
    with pytest.raises(Infeasible, match=r"w1 cannot hold 8 layers: they need .* it offers 60\.0 MiB"):
        place(
            model_info(8),
            [host(memory=GIB), worker(1, memory=60 * MIB)],
            EngineSettings(512, 1),
            {worker(1).key: 8},
        )


def test_fixed_numbers_that_do_not_add_up_are_refused() -> None:
    devices = [worker(1, memory=GIB), worker(2, memory=GIB)]
    with pytest.raises(Infeasible, match="leave no way to place all 8"):
        place(model_info(8), devices, EngineSettings(512, 1), {worker(1).key: 2, worker(2).key: 2})


def test_an_empty_pool_is_refused() -> None:
    with pytest.raises(Infeasible, match="no machine offers memory"):
        place(model_info(8), [], EngineSettings(512, 1))


def test_a_plan_does_not_depend_on_the_order_of_the_devices() -> None:
    devices = [host(memory=70 * MIB), *(worker(number, memory=60 * MIB, rtt=0.001) for number in range(1, 6))]
    assert place(model_info(12), devices, EngineSettings(512, 1)) == place(
        model_info(12), devices[::-1], EngineSettings(512, 1)
    )


def test_throughput_counts_all_slots_and_latency_one() -> None:
    devices = [worker(1, rtt=0.05), worker(2, rtt=0.05)]
    one, all_slots = (
        place(model_info(8), devices, EngineSettings(512, 4), objective=o) for o in ("latency", "throughput")
    )
    assert all_slots.predicted_tokens_per_second > 3 * one.predicted_tokens_per_second


def test_a_capped_device_gets_no_more_while_something_fits_so() -> None:
    newcomer = replace(worker(1, GIB, seconds=0.0001), most_layers=2)
    plan = place(model_info(8), [newcomer, host(GIB)], EngineSettings(512))
    assert layers_of(plan) == {"host": 6, "w1": 2}
    unused = place(model_info(8), [replace(newcomer, most_layers=0), host(GIB)], EngineSettings(512))
    assert layers_of(unused) == {"host": 8}
    fixed = place(model_info(8), [newcomer, host(GIB)], EngineSettings(512), {newcomer.key: 5})
    assert layers_of(fixed)["w1"] == 5, "a person's number counts for more"


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 8), st.integers(0, 8), st.booleans())
def test_where_nothing_fits_within_the_caps_they_rise_no_more_than_they_must(
    cap: int, room: int, equal: bool
) -> None:
    model = model_info(8) if equal else replace(model_info(8), layer_bytes=(*[8 * MIB] * 7, 8 * MIB - 1))
    wants = demand(model, EngineSettings(512), 1)
    newcomer = replace(worker(1, GIB, seconds=0.0001), most_layers=cap)
    other = worker(2, wants.overhead(worker(2)) + room * wants.layers[0], seconds=0.5)
    plan = place(model, [newcomer, other], EngineSettings(512))
    assert layers_of(plan)["w1"] == max(cap, 8 - room, 1), "the head is on it"


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 8), st.integers(0, 7), st.lists(st.integers(1, 8), min_size=2, max_size=4))
def test_devices_of_one_machine_get_no_more_together_than_it_may_hold(
    cap: int, room: int, rooms: list[int]
) -> None:
    model = model_info(8)
    wants = demand(model, EngineSettings(512), 1)

    def holding(device: Device, layers: int, head: bool = False) -> Device:
        memory = wants.overhead(device) + layers * wants.layers[0] + (wants.head if head else 0)
        return replace(device, memory_offered=memory)

    newcomer = replace(worker(1, seconds=0.0001), most_layers=cap)
    own = [replace(holding(newcomer, most), device=f"D{number}") for number, most in enumerate(rooms)]
    other = holding(worker(2, seconds=0.5), room, head=True)
    assume(room + min(8, sum(rooms)) >= 8 and room)
    plan = place(model, [*own, other], EngineSettings(512))
    held = sum(stage.layers for stage in plan.stages if stage.device.member == newcomer.member)
    assert held <= max(cap, 8 - room)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from([1, 10]), min_size=2, max_size=12),
    st.lists(st.integers(1, 40), min_size=1, max_size=4),
    st.integers(0, 12),
)
def test_caps_refuse_nothing_that_fits_without_them(layers: list[int], rooms: list[int], cap: int) -> None:
    model = replace(model_info(len(layers)), layer_bytes=tuple(size * 8 * MIB for size in layers))
    wants = demand(model, EngineSettings(512), 1)
    own = [worker(1, wants.overhead(worker(1)) + wants.head + room * 9 * MIB) for room in rooms]
    free = [replace(device, device=f"D{number}") for number, device in enumerate(own)]
    capped = [replace(device, most_layers=cap) for device in free]

    def feasible(devices: list[Device]) -> bool:
        try:
            place(model, devices, EngineSettings(512))
        except Infeasible:
            return False
        return True

    assert feasible(capped) == feasible(free)


def test_a_placement_has_another_speed_when_its_devices_have() -> None:
    plan = place(model_info(8), [host(60 * MIB), worker(1)], EngineSettings(512))
    slower = [host(60 * MIB, seconds=0.0021), worker(1, rtt=0.5)]
    held = {stage.device.key: stage.layers for stage in plan.stages}
    assert repriced(plan, slower) == place(model_info(8), slower, EngineSettings(512), held)
    assert repriced(plan, []) == plan
    assert repriced(plan, slower).step_seconds > plan.step_seconds


def test_devices_of_a_machine_are_chosen_each_for_itself() -> None:
    card, processor = (
        replace(worker(1, 60 * MIB, seconds=seconds), device=name, name=f"w1/{name}")
        for name, seconds in (("CUDA0", 0.001), ("CPU", 0.02))
    )
    plan = place(model_info(8), [processor, card, worker(2, 90 * MIB)], EngineSettings(512))
    assert set(layers_of(plan)) == {"w1/CUDA0", "w2"}
    assert set(plan.workers) == {card.member, worker(2).member}


def test_the_explanation_adds_up() -> None:
    explained = place(
        model_info(12), [host(memory=70 * MIB), worker(1), worker(2)], EngineSettings(512, 1)
    ).explain()
    terms = [sum(stage["terms"].values()) for stage in explained["stages"]]
    assert terms == pytest.approx([stage["milliseconds"] for stage in explained["stages"]])
    assert sum(terms) == pytest.approx(explained["milliseconds"])


def test_sixty_four_workers_and_128_layers_are_placed_in_a_moment() -> None:
    devices = [
        worker(n, memory=(60 + 7 * n) * MIB, seconds=0.001 * (1 + n % 7), rtt=0.0001 * (1 + n % 11))
        for n in range(64)
    ]
    place(model_info(128), devices, EngineSettings(512, 1))
    fastest = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        place(model_info(128), devices, EngineSettings(512, 1))
        fastest = min(fastest, time.perf_counter() - began)
    assert fastest < 0.1


def test_a_stage_with_the_head_alone_has_no_layers() -> None:
    stage = place(model_info(8), [host(GIB)], EngineSettings(512, 1)).stages[0]
    assert stage.span == (0, 7)
    first, last = replace(stage, layers=0).span
    assert first > last


@pytest.mark.parametrize(("context", "slots"), [(0, 1), (512, 0)])
def test_a_context_or_slots_of_nothing_cannot_be_placed(context: int, slots: int) -> None:
    with pytest.raises(Infeasible, match="make no sense"):
        place(model_info(4), [host(GIB)], EngineSettings(context, slots))


@pytest.mark.parametrize(("context", "slots"), [(1 << 31, 1), (1 << 40, 1), (1 << 23, 256), (512, 257)])
def test_what_the_engine_takes_in_no_case_is_not_placed(context: int, slots: int) -> None:
    recurrent = replace(model_info(4), caches=(LayerCache(state=512),) * 4)
    with pytest.raises(Infeasible, match="more than the engine takes"):
        place(recurrent, [host(1 << 60)], EngineSettings(context, slots))
