import pytest

from mesh.wire.errors import MeshError
from mesh.wire.rights import ALL_RIGHTS, Rights


def test_rights_are_read_in_any_order_and_named_in_one() -> None:
    assert Rights.parse("own, WORK") == Rights.OWN | Rights.WORK
    assert Rights.parse("own,lead,work") == ALL_RIGHTS
    assert ALL_RIGHTS.names() == ["work", "lead", "own"]
    assert (Rights.LEAD | Rights.WORK).names() == ["work", "lead"]


@pytest.mark.parametrize("text", ["", "work,", "root"])
def test_a_right_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(MeshError):
        Rights.parse(text)
