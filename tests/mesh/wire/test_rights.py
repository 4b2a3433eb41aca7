from itertools import product

import pytest

from mesh.wire.errors import MeshError
from mesh.wire.rights import ALL_RIGHTS, Rights

NAMES = ("work", "ask", "lead", "own")


def test_rights_are_read_in_any_order_and_named_in_one() -> None:
    assert Rights.parse("own, WORK") == Rights.OWN | Rights.WORK
    assert Rights.parse("own,lead,work") == ALL_RIGHTS
    assert ALL_RIGHTS.names() == ["work", "ask", "lead", "own"]
    assert Rights.parse("ask,lead,work") == Rights.LEAD | Rights.WORK
    assert (Rights.LEAD | Rights.WORK).names() == ["work", "ask", "lead"]


def test_only_who_is_given_ask_or_own_may_ask() -> None:
    for chosen in product((False, True), repeat=4):
        names = [name for name, is_chosen in zip(NAMES, chosen, strict=True) if is_chosen]
        if names:
            rights = Rights.parse(",".join(names))
            assert rights.may_ask is bool({"ask", "own"} & set(names))
            assert rights.names() == [
                name for name in NAMES if name in names or (name, rights.may_ask) == ("ask", True)
            ]


def test_who_was_vouched_for_before_there_was_the_right_may_ask() -> None:
    assert Rights.parse("work,ask").value == Rights.WORK.value
    assert Rights.parse("work") == Rights.WORK | Rights.NO_ASK
    assert Rights.parse("ask") == Rights(0)


def test_an_owner_may_ask_whatever_its_voucher_says() -> None:
    assert (Rights.OWN | Rights.NO_ASK).names() == ["ask", "own"]
    assert Rights.NO_ASK.names() == []


@pytest.mark.parametrize("text", ["", "work,", "root", "no_ask"])
def test_a_right_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(MeshError, match="There is no right named"):
        Rights.parse(text)
