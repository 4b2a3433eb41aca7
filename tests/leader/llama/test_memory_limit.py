"""llama-server may take what the plan puts on this machine, and a bounded amount besides."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leader.door.bodies.pictures import BYTES_FOR_PIXEL, MOST_PIXELS
from leader.llama.memory_limit import BASE_BYTES, memory_limit
from leader.model.engine_settings import EngineSettings
from leader.placement.cost import checkpoints
from leader.placement.planner import place
from tests.leader.shapes import GIB, MIB, full, host, model_info, worker


def test_what_others_hold_does_not_count() -> None:
    alone = place(model_info(8), [host(memory=GIB)], EngineSettings(512, 1))
    shared = place(model_info(8), [host(), worker(1, memory=GIB)], EngineSettings(512, 1), {host().key: 2})
    assert memory_limit(shared) < memory_limit(alone)


def test_the_plan_on_this_machine_fits_with_all_its_conversations() -> None:
    plan = place(model_info(8), [host(memory=GIB)], EngineSettings(512, 2))
    conversations = plan.model_info.slot_bytes(plan.settings) * 2
    assert memory_limit(plan) >= plan.stages[0].bytes + conversations + BASE_BYTES


def test_pictures_that_every_slot_is_shown_fit_beside_the_projector() -> None:
    model, settings = model_info(8), EngineSettings(512, 2)
    plain = memory_limit(place(model, [host(memory=GIB)], settings))
    sees = memory_limit(place(model, [host(memory=GIB)], replace(settings, projector=9 * MIB)))
    assert sees - plain >= 2 * 9 * MIB + 2 * MOST_PIXELS * BYTES_FOR_PIXEL


@pytest.mark.parametrize(
    ("window", "state", "context", "count"),
    [
        (0, 0, 4096, 32), (256, 0, 256, 8), (256, 0, 4096, 32), (4096, 0, 8192, 13),
        (0, 2 * MIB, 4096, 5), (0, GIB, 4096, 1),
    ],
)  # fmt: skip
def test_checkpoints_but_the_first_hold_no_more_than_a_conversation(
    window: int, state: int, context: int, count: int
) -> None:
    kept = (full(512, 512, window=window, state=state), *(full(512, 512),) * 7)
    info = replace(model_info(8), caches=kept if window else kept[:1] * 8)
    assert checkpoints(info, EngineSettings(context)) == count


@given(
    window=st.integers(0, 1 << 24), state=st.integers(0, 1 << 34), context=st.integers(1, 1 << 20),
    slots=st.integers(1, 64),
)  # fmt: skip
def test_all_checkpoints_that_are_allowed_fit(window: int, state: int, context: int, slots: int) -> None:
    info = replace(model_info(8), caches=(full(512, 512, window=window, state=state),) * 8)
    settings = EngineSettings(context, slots)
    plan = place(info, [host(memory=1 << 50)], settings)
    room = memory_limit(plan) - plan.stages[0].bytes - BASE_BYTES
    assert room >= checkpoints(info, settings) * info.checkpoint_bytes(settings) * slots
