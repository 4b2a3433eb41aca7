import pytest

from mesh.serving.asking.asking_right import asking_refused
from mesh.wire.rights import ALL_RIGHTS, Rights
from simulations.signing import KeyedHash
from tests.mesh.protocol.stage import Stage


@pytest.mark.parametrize("rights", [Rights.WORK, Rights.parse("ask"), ALL_RIGHTS | Rights.NO_ASK])
def test_members_ask_unless_they_may_not(rights: Rights) -> None:
    stage = Stage()
    assert asking_refused(stage.node, stage.member(2, rights=rights).id) is None
    refused = asking_refused(stage.node, stage.member(3, rights=Rights.parse("work,lead")).id)
    assert refused is not None
    assert (refused.status, refused.code) == (403, "may_not_ask")


def test_a_member_that_was_not_heard_of_yet_may_ask() -> None:
    stage = Stage()
    for number, rights in ((5, Rights.WORK), (6, Rights.parse("work"))):
        stage.perform(stage.node.vouch(stage.now, KeyedHash(number).public_key, rights))
    assert asking_refused(stage.node, KeyedHash(5).id) is None
    refused = asking_refused(stage.node, KeyedHash(6).id)
    assert refused is not None
    assert refused.code == "may_not_ask"


def test_a_founder_may_ask() -> None:
    stage = Stage()
    assert asking_refused(stage.node, stage.node.id) is None


def test_who_is_no_member_may_not() -> None:
    stage = Stage()
    for stranger in (None, KeyedHash(9).id):
        refused = asking_refused(stage.node, stranger)
        assert refused is not None
        assert (refused.status, refused.code) == (403, "no_member")
