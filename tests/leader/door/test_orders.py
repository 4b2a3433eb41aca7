"""What the door decides can be handed from one process to another."""

import pickle

from leader.door.orders import ErrorShape, Order, Refused, SlotUse, Unacceptable


def test_orders_and_refusals_are_the_same_in_another_process() -> None:
    order = Order("POST", "/completion", (b"{}",), SlotUse.PICKED, beginnings=((1, 2),))
    refused = Refused(400, "bad_request", "no", "n_keep", ErrorShape.ANTHROPIC)
    assert pickle.loads(pickle.dumps((order, refused))) == (order, refused)


def test_what_is_unacceptable_names_its_field() -> None:
    assert str(Unacceptable("n", "at most 64")) == "n: at most 64"
    assert str(Unacceptable("", "the body is no object")) == "the body is no object"
