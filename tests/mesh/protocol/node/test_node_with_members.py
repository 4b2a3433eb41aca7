"""What a Node tells of itself and of others without changing anything."""

import pytest

from mesh.wire.envelope import first_number, seal
from mesh.wire.facts import Liveness
from mesh.wire.identity import NodeId
from mesh.wire.messages import Ping, encode
from mesh.wire.versions import CLOSED, SPOKEN, Versions
from tests.mesh.protocol.stage import Actor, Stage

NOBODY_HERE = NodeId(b"n" * 16)
TOO_FAR = Versions(8, 9)
PING = encode(Ping(7, bytes(8), 1, 0))


def hear_unread(stage: Stage, actor: Actor) -> None:
    """A datagram of the actor's next run, whose program speaks no version of the Node's."""
    number, to = first_number(actor.generation + 1), stage.node.id
    payload = seal(stage.pool, actor.id, number, PING, actor.signer, to, TOO_FAR)
    stage.perform(stage.node.receive(stage.now, actor.address, payload))


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


def test_who_left_and_is_back_in_a_version_that_is_not_read_is_out_of_reach() -> None:
    stage = Stage()
    actor = stage.member(2)
    actor.tells(actor.record(2, left=True))
    assert [one.state for one in stage.node.members() if one.id == actor.id] == ["left"]
    hear_unread(stage, actor)
    [member] = [one for one in stage.node.members() if one.id == actor.id]
    assert (member.state, member.speaks, member.is_understood) == ("dead", TOO_FAR, False)
    actor.generation = 3
    actor.tells(actor.record())
    [member] = [one for one in stage.node.members() if one.id == actor.id]
    assert (member.state, member.is_understood) == ("alive", True)


def test_who_is_out_of_reach_for_long_is_still_told_of_with_its_last_record() -> None:
    stage = Stage()
    actor = stage.member(2)
    actor.tells(actor.record(2, left=True))
    hear_unread(stage, actor)
    stage.wait(stage.settings.reap_left * 1.1)
    assert stage.node.inspect().state(actor.id) is None, "it is forgotten"
    member = stage.node.member(actor.id)
    assert member is not None
    assert member.record is not None
    assert (member.record.profile.name, member.state) == ("actor", "dead")


def test_a_member_whose_record_was_never_read_is_told_of_by_what_it_speaks() -> None:
    stage = Stage()
    actor, evicted = stage.member(2, known=False), stage.member(3, known=False)
    for each in (actor, evicted):
        hear_unread(stage, each)
    stage.perform(stage.node.evict(stage.now, evicted.id))
    [member] = [one for one in stage.node.members() if one.id != stage.node.id]
    assert (member.id, member.state, member.record) == (actor.id, "dead", None)
    assert (member.speaks, member.is_understood) == (TOO_FAR, False)
    assert member.endpoint == actor.address


def test_a_machine_that_was_upgraded_too_far_tells_of_those_that_it_left_behind() -> None:
    stage = Stage(speaks=TOO_FAR)
    actor = stage.member(2, known=False)
    actor.says(Ping(1, bytes(8), 1, 0))
    [member] = [one for one in stage.node.members() if one.id != stage.node.id]
    assert (member.id, member.state, member.endpoint) == (actor.id, "dead", actor.address)
    assert (member.speaks, member.is_understood) == (SPOKEN, False)


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
