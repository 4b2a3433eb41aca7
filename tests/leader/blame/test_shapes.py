from dataclasses import replace

from leader.blame.shapes import shape
from leader.model.engine_settings import EngineSettings
from leader.placement.planner import place
from tests.leader.shapes import GIB, MIB, host, model_info, worker

PLAN = place(model_info(8), [host(60 * MIB), worker(1)], EngineSettings(512))


def test_two_plans_with_the_same_layers_in_the_same_places_have_one_shape() -> None:
    slower = place(model_info(8), [host(60 * MIB), worker(1, rtt=0.002)], EngineSettings(512))
    assert slower != PLAN
    assert shape(slower) == shape(PLAN)


def test_another_device_another_count_or_another_place_of_the_head_is_another_shape() -> None:
    first, *rest = PLAN.stages
    others = [
        place(model_info(8), [host(60 * MIB), worker(2)], EngineSettings(512)),
        place(model_info(8), [host(GIB)], EngineSettings(512)),
        replace(PLAN, stages=(replace(first, layers=first.layers - 1), *rest)),
        replace(PLAN, stages=(replace(first, head=not first.head), *rest)),
    ]
    assert shape(PLAN) not in {shape(other) for other in others}


def test_a_stage_that_holds_nothing_is_no_part_of_the_shape() -> None:
    idle = replace(PLAN.stages[0], device=worker(3), layers=0, head=False)
    assert shape(replace(PLAN, stages=(*PLAN.stages, idle))) == shape(PLAN)
