"""llama-server may take what the plan puts on this machine, and a bounded amount besides."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leader.llama.memory_limit import BASE_BYTES, checkpoints, memory_limit
from leader.model.engine_settings import EngineSettings
from leader.placement.planner import place
from tests.leader.shapes import GIB, MIB, host, model_info, worker


def test_what_others_hold_does_not_count() -> None:
    alone = place(model_info(8), [host(memory=GIB)], EngineSettings(512, 1))
    shared = place(model_info(8), [host(), worker(1, memory=GIB)], EngineSettings(512, 1), {host().key: 2})
    assert memory_limit(shared) < memory_limit(alone)


def test_the_plan_on_this_machine_fits_with_all_its_conversations() -> None:
    plan = place(model_info(8), [host(memory=GIB)], EngineSettings(512, 2))
    conversations = sum(plan.model_info.kv_bytes) * 512 * 2
    assert memory_limit(plan) >= plan.stages[0].bytes + conversations + BASE_BYTES


@pytest.mark.parametrize(
    ("window", "state", "context", "count"),
    [
        (1024, 0, 256, 1), (1024, 0, 4096, 4), (1024, 0, 131072, 32), (4096, 0, 8192, 2), (8192, 0, 4096, 1),
        (0, 0, 4096, 32), (0, 16 * MIB, 4096, 4), (0, GIB, 4096, 1),
    ],
)  # fmt: skip
def test_checkpoints_but_the_first_hold_no_more_than_a_conversation(
    window: int, state: int, context: int, count: int
) -> None:
    assert checkpoints(replace(model_info(8), window=window, state_bytes=state), context) == count


@given(
    window=st.integers(0, 1 << 24), state=st.integers(0, 1 << 34), context=st.integers(1, 1 << 20),
    slots=st.integers(1, 64),
)  # fmt: skip
def test_all_checkpoints_that_are_allowed_fit(window: int, state: int, context: int, slots: int) -> None:
    info = replace(model_info(8), window=window, state_bytes=state)
    plan = place(info, [host(memory=1 << 50)], EngineSettings(context, slots))
    each = min(window, context) * sum(info.kv_bytes) + state
    room = memory_limit(plan) - plan.stages[0].bytes - BASE_BYTES
    assert room >= checkpoints(info, context) * each * slots
