"""llama-server may take what the plan puts on this machine, and a bounded amount besides."""

import pytest

from leader.llama.memory_limit import BASE_BYTES, checkpoints, memory_limit
from leader.placement.planner import place
from tests.leader.shapes import GIB, host, model_info, worker


def test_what_others_hold_does_not_count() -> None:
    alone = place(model_info(8), [host(memory=GIB)], 512, 1)
    shared = place(model_info(8), [host(), worker(1, memory=GIB)], 512, 1, {host().member: 2})
    assert memory_limit(shared) < memory_limit(alone)


def test_the_plan_on_this_machine_fits_with_all_its_conversations() -> None:
    plan = place(model_info(8), [host(memory=GIB)], 512, 2)
    conversations = sum(plan.model_info.kv_bytes) * 512 * 2
    assert memory_limit(plan) >= plan.stages[0].bytes + conversations + BASE_BYTES


@pytest.mark.parametrize(("context", "count"), [(256, 1), (4096, 4), (131072, 32)])
def test_checkpoints_hold_no_more_than_a_conversation(context: int, count: int) -> None:
    assert checkpoints(context) == count
