"""The table over one order, which must find what all orders have where that order is the best."""

from leader.model.engine_settings import EngineSettings
from leader.placement.cost import MAX_DEVICES, Range, demand
from leader.placement.order_table import best_in_order
from leader.placement.subset_table import best_of_all_orders
from leader.placement.windows import Windows
from tests.leader.placement.test_subset_table import windows
from tests.leader.shapes import GIB, host, model_info, worker


def test_devices_of_the_order_are_used_or_left_out() -> None:
    line = [
        windows(worker(1), 20),
        windows(worker(2, rtt=0.1), 2),
        windows(worker(3), 21),
        windows(worker(4), 20),
    ]
    found = best_in_order(None, line, 4)
    assert found is not None
    assert list(found[1]) == [(1, 1, False), (3, 2, False), (4, 1, True)]
    assert found == best_of_all_orders(None, line, 4)
    assert best_in_order(None, line[:2], 4) is None


def test_the_head_is_on_the_host_or_on_the_last_device_used() -> None:
    line = [windows(worker(1), 99, low=1, room_head=-1), windows(worker(2), 99, room_head=-1)]
    found = best_in_order(windows(host(), -1, room_head=0), line, 4)
    assert found is not None
    assert list(found[1]) == [(0, 0, True), (1, 4, False)]
    assert best_in_order(None, line, 4) is None
    last = windows(worker(3), 20)
    found = best_in_order(None, [*line, last], 4)
    assert found is not None
    assert found[1][-1] == (3, 1, True)


def test_what_must_be_used_is_used_wherever_it_stands() -> None:
    needed, fast = windows(worker(1, rtt=0.5), 1, low=1), windows(worker(2), 99)
    for line in ([needed, fast], [fast, needed]):
        assert best_in_order(None, line, 4) is None, "the first and the last layer are too large for it"
    leads = windows(host(), 20)
    found = best_in_order(leads, [needed, fast], 4)
    assert found is not None
    assert [share[0] for share in found[1]] == [0, 1, 2]
    assert best_in_order(leads, [fast, needed], 4) is None


def test_no_more_devices_are_used_than_the_engine_takes() -> None:
    for layers in (MAX_DEVICES, MAX_DEVICES + 1):
        model = model_info(layers)
        one = Range(0, 1, GIB, GIB)
        line = [
            Windows(model, demand(model, EngineSettings(512), 1), worker(number), one)
            for number in range(1, layers + 2)
        ]
        found = best_in_order(None, line, layers)
        assert (found is not None) == (layers <= MAX_DEVICES)
