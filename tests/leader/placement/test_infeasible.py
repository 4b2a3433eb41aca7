"""What people read when nothing fits; the words on memory are also `test_planner`'s."""

import re
from dataclasses import replace

import pytest

from leader.model.engine_settings import EngineSettings
from leader.model.layer_caches import LayerCache
from leader.placement.cost import demand
from leader.placement.infeasible import Infeasible
from leader.placement.planner import place
from tests.leader.shapes import GIB, MIB, host, model_info, worker

GPU = replace(worker(1, 60 * MIB), device="CUDA0", name="w1/CUDA0")
CPU = replace(worker(1, 60 * MIB), device="CPU", name="w1/CPU")
SETTINGS = EngineSettings(512)


def test_a_device_that_cannot_hold_its_number_is_named_with_its_machine() -> None:
    with pytest.raises(Infeasible, match=r"w1/CUDA0 cannot hold 8 layers: they need .*, it offers 60\.0 MiB"):
        place(model_info(8), [GPU, CPU, host(GIB)], SETTINGS, {GPU.key: 8})


def test_a_machine_whose_devices_together_cannot_is_named_without_them() -> None:
    both = r"^w1 cannot hold 20 layers: they need .*, it offers 120 MiB"
    with pytest.raises(Infeasible, match=both) as caught:
        place(model_info(20), [GPU, CPU, host(GIB)], SETTINGS, {(GPU.member, ""): 20})
    assert caught.value.missing > 0


def test_more_layers_than_the_model_has_are_no_matter_of_memory() -> None:
    with pytest.raises(Infeasible, match="w1 is to hold 9 layers, but the model has 8"):
        place(model_info(8), [worker(1, GIB)], SETTINGS, {worker(1).key: 9})


def test_unequal_layers_are_said_to_be_at_most_so_many() -> None:
    model = replace(model_info(4), layer_bytes=(40 * MIB, MIB, MIB, 40 * MIB), caches=(LayerCache(),) * 4)
    room = demand(model, SETTINGS, 1).overhead(worker(1))
    pool = [worker(1, room + 3 * MIB), worker(2, room + 42 * MIB), worker(3, room - 1)]
    with pytest.raises(Infeasible) as caught:
        place(model, pool, SETTINGS)
    offers = re.sub(r"w(\d) [0-9.]+ MiB", r"w\1", caught.value.message)
    assert "w1 (holds at most 2 layers), w2 (holds at most 3 layers), w3 (too little: one layer" in offers
    assert caught.value.missing == 40 * MIB


def test_layers_for_what_is_not_there_go_to_nobody_else() -> None:
    with pytest.raises(Infeasible, match="a machine that is to hold 3 of the layers cannot be used now"):
        place(model_info(8), [host(GIB)], SETTINGS, {(GPU.member, ""): 3})
    with pytest.raises(
        Infeasible, match="the device CUDA0 that is to hold 3 of the layers cannot be used now"
    ):
        place(model_info(8), [host(GIB), CPU], SETTINGS, {GPU.key: 3})
    assert place(model_info(8), [host(GIB)], SETTINGS, {GPU.key: 0}).stages[0].layers == 8
