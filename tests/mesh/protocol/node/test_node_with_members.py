"""What a Node tells of itself and of others without changing anything."""

import pytest

from mesh.wire.facts import Liveness
from mesh.wire.identity import NodeId
from mesh.wire.versions import CLOSED, SPOKEN, Versions
from tests.mesh.protocol.stage import Stage

NOBODY_HERE = NodeId(b"n" * 16)


def test_a_member_is_told_of_as_it_is_known() -> None:
    stage = Stage()
    actor, unheard = stage.member(2), stage.member(3, known=False)
    member = stage.node.member(actor.id)
    assert member is not None
    assert (member.id, member.state, member.endpoint) == (actor.id, "alive", actor.address)
    assert stage.node.member(unheard.id) is None
    assert stage.node.member(NOBODY_HERE) is None


def test_a_node_tells_of_itself_once_it_has_a_record() -> None:
    assert Stage(start=False).node.member(Stage(start=False).node.id) is None
    stage = Stage()
    own = stage.node.member(stage.node.id)
    assert own is not None
    assert (own.state, own.endpoint) == ("alive", stage.profile.addresses[0])


def test_an_evicted_key_stays_evicted_and_others_are_not() -> None:
    stage = Stage()
    actor, other = stage.member(2), stage.member(3)
    stage.perform(stage.node.evict(stage.now, actor.id))
    assert stage.node.is_evicted(actor.id)
    assert not stage.node.is_evicted(other.id)


def test_the_liveness_of_others_is_that_which_was_seen_last() -> None:
    stage = Stage()
    actor = stage.member(2)
    before = stage.node.inspect().liveness()[actor.id]
    actor.generation = 2
    actor.tells(actor.record())
    assert stage.node.inspect().liveness()[actor.id] > before


@pytest.mark.parametrize("speaks", [CLOSED, SPOKEN, Versions(3, 4), Versions(4, 5)])
def test_a_member_speaks_what_its_record_says(speaks: Versions) -> None:
    stage = Stage()
    volunteer, actor = stage.member(3), stage.member(2, known=False, speaks=speaks)
    volunteer.tells(actor.record())
    member, own = stage.node.member(actor.id), stage.node.member(stage.node.id)
    assert member is not None
    assert own is not None
    assert (member.speaks, member.is_understood) == (speaks, speaks.oldest < 4)
    assert (own.speaks, own.is_understood) == (SPOKEN, True)


def test_of_a_member_whose_record_has_not_come_nobody_knows_what_it_speaks() -> None:
    stage = Stage()
    actor, volunteer = stage.member(2, known=False), stage.member(3)
    volunteer.tells(actor.sign(Liveness(stage.pool, actor.id, 1, 1)))
    member = stage.node.member(actor.id)
    assert member is not None
    assert (member.speaks, member.is_understood) == (None, True)
