"""The table over subsets; that its placements are optimal is `test_placement_search`'s."""

from dataclasses import replace

from leader.model.engine_settings import EngineSettings
from leader.model.layer_caches import LayerCache
from leader.placement.cost import Device, Range, demand
from leader.placement.subset_table import best_of_all_orders, host_rows, most_devices
from leader.placement.windows import Windows
from tests.leader.shapes import MIB, host, model_info, worker

MODEL = replace(model_info(4), layer_bytes=(20 * MIB, MIB, MIB, 20 * MIB), caches=(LayerCache(),) * 4)
WANTS = demand(MODEL, EngineSettings(512), 1)


def windows(device: Device, room: int, low: int = 0, room_head: int | None = None) -> Windows:
    """With room in MiB."""
    with_head = room if room_head is None else room_head
    return Windows(MODEL, WANTS, device, Range(low, 4, room * MIB, with_head * MIB))


def test_the_order_is_that_in_which_the_layers_fit() -> None:
    small, large = windows(worker(1), 2), windows(worker(2), 20)
    found = best_of_all_orders(None, [small, large, windows(worker(3), 20)], 4)
    assert found is not None
    assert list(found[1]) == [(2, 1, False), (1, 2, False), (3, 1, True)]
    assert best_of_all_orders(None, [small, large], 4) is None


def test_what_must_be_used_is_used_and_the_host_may_have_the_head_alone() -> None:
    head_alone = windows(host(), room=-1, room_head=0)
    found = best_of_all_orders(head_alone, [windows(worker(1), 99), windows(worker(2), 20, low=1)], 4)
    assert found is not None
    assert {share[0] for share in found[1]} >= {2}
    alone = best_of_all_orders(head_alone, [windows(worker(1), 99, room_head=-1)], 4)
    assert alone is not None
    assert list(alone[1]) == [(0, 0, True), (1, 4, False)]


def test_without_a_host_there_is_a_way_to_begin_and_none_to_have_the_head() -> None:
    rows = host_rows(None, 4)
    assert rows.shape == (1, 5)
    assert rows[0, 0] == 0.0
    assert host_rows(windows(host(), 99), 4).shape == (2, 5)


def test_nine_devices_are_few_with_128_layers_and_fifteen_the_most() -> None:
    assert [most_devices(layers) for layers in (1 << 30, 128, 32, 1)] == [1, 9, 11, 15]
