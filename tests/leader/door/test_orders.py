import pickle

from leader.door.orders import Order, Refused, SlotUse, Unacceptable


def test_a_complaint_names_its_field_and_says_what_is_wrong() -> None:
    assert str(Unacceptable("n", "is too large")) == "n: is too large"
    assert str(Unacceptable("", "the body is no JSON")) == "the body is no JSON"


def test_verdicts_go_from_one_process_to_another() -> None:
    order = Order("POST", "/completion", (b"{}",), SlotUse.PICKED, repeats={"metadata": {}})
    for verdict in (order, Refused(400, "invalid_value", "no", "n")):
        assert pickle.loads(pickle.dumps(verdict)) == verdict
