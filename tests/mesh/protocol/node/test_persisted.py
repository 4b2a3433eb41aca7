"""What a Node finds on its disk again, and what of it no longer holds."""

import pytest

from mesh.protocol.node import persisted
from mesh.protocol.node.persisted import ACTS
from mesh.protocol.trust import roster
from mesh.wire import codec
from mesh.wire.errors import MeshError
from mesh.wire.facts import Deployment, Resignation
from mesh.wire.profile import Model
from mesh.wire.signed_facts import MAX_ACT
from tests.mesh.protocol.stage import Stage


def test_acts_of_other_owners_are_on_the_disk_within_a_second() -> None:
    founded = Stage()
    newcomer = founded.member(2)
    stage = Stage(signer=newcomer.signer, chain=founded.node.chain(newcomer.id))
    before = stage.disk[ACTS]
    third = founded.member(3)
    fourth = founded.member(4)
    founder = stage.outsider(1)
    founder.tells(*founded.node.chain(third.id))
    founder.tells(*founded.node.chain(fourth.id))
    assert stage.disk[ACTS] == before
    stage.wait(1.0)
    again = Stage(stored=stage.disk, start=False, signer=newcomer.signer)
    assert again.node.keys().keys() == stage.node.keys().keys() >= {third.id, fourth.id}


def test_a_restored_node_has_nothing_to_spread_before_it_starts() -> None:
    stage = Stage()
    stage.member(2)
    again = Stage(stored=stage.disk, start=False)
    again.disk.clear()
    again.wait(30.0)
    assert (again.sent, again.disk) == ([], {})


def test_what_was_deployed_is_deployed_again() -> None:
    stage = Stage()
    stage.perform(stage.node.deploy(stage.now, Model("m", 1, bytes(32)), 1, 1, True))
    assert stage.restarted().node.deployment() == stage.node.deployment() is not None


def test_a_damaged_word_of_an_owner_counts_as_none() -> None:
    stage = Stage()
    stage.perform(stage.node.deploy(stage.now, Model("m", 1, bytes(32)), 1, 1, True))
    stage.perform(stage.node.choose_engine(stage.now, "b1", bytes(32)))
    del stage.disk["said"]
    stage.disk["deployment"] = stage.disk["engine"] = b"nonsense"
    again = stage.restarted()
    assert (again.node.deployment(), again.node.pool_engine()) == (None, None)


def test_a_damaged_form_is_told_as_such() -> None:
    disk = {**Stage().disk, "form": b"nonsense"}
    with pytest.raises(MeshError, match="stored form is damaged"):
        Stage(stored=disk)


def test_a_leader_that_starts_anew_resigns_from_its_former_claim_once() -> None:
    stage = Stage()
    stage.wait(5.0)
    leader = stage.node.leader()
    assert leader is not None
    again = stage.restarted()
    [resignation] = again.node.inspect().facts(Resignation)
    assert (resignation.fact.author, resignation.fact.term) == (stage.node.id, leader.term)
    assert again.disk["claimed"] == codec.pack([0])
    assert list(again.restarted().node.inspect().facts(Resignation)) == [resignation]


def test_a_resignation_is_said_in_the_same_bytes_again_though_the_form_changed() -> None:
    stage = Stage()
    stage.node._context._later = codec.pack([7])  # as a later version's program signs
    stage.wait(5.0)
    stage.perform(stage.node.leave(stage.now))
    [said] = stage.node.inspect().facts(Resignation)
    again = stage.restarted()
    assert list(again.node.inspect().facts(Resignation)) == [said]
    assert again.disk["claimed"] == codec.pack([0])


def test_no_number_of_a_deployment_is_used_twice_though_anothers_is_in_force() -> None:
    stage = Stage()
    other = stage.member(2)
    model = Model("m", 1, bytes(32))
    stage.perform(stage.node.deploy(stage.now, model, 1, 1, True))
    far = Deployment(stage.pool, other.id, 2**40, model, 1, 1, False)
    other.tells(other.sign(far))
    assert stage.node.deployment() == far
    again = stage.restarted()
    again.perform(again.node.evict(again.now, other.id))
    deployment = again.node.deployment()
    assert deployment is not None
    assert (deployment.author, deployment.number) == (stage.node.id, 2)


def test_damaged_words_of_a_former_run_count_as_none() -> None:
    stage = Stage()
    stage.perform(stage.node.deploy(stage.now, Model("m", 1, bytes(32)), 1, 1, True))
    del stage.disk["deployment"]
    assert stage.restarted().node.deployment() is not None
    stage.disk["said"] = b"nonsense"
    assert stage.restarted().node.deployment() is None


def test_an_engine_that_was_chosen_is_known_again_and_the_next_choice_counts_on() -> None:
    stage = Stage()
    stage.perform(stage.node.choose_engine(stage.now, "b1", bytes(32)))
    again = stage.restarted()
    chosen = again.node.pool_engine()
    assert chosen is not None
    assert (chosen.release, chosen.version) == ("b1", (1,))
    again.perform(again.node.choose_engine(again.now, "b2", bytes(32)))
    chosen = again.node.pool_engine()
    assert chosen is not None
    assert (chosen.release, chosen.version) == ("b2", (2,))


def test_the_disk_has_room_for_as_many_acts_as_a_roster_takes() -> None:
    """Else an owner that vouches for thousands, each time with much behind it, would stop a pool for good."""
    most = roster.MAX_VOUCHERS + roster.MAX_REVOKED + roster.MAX_EVICTIONS
    assert most < persisted._MOST_ACTS
    assert most * (MAX_ACT + 3) < persisted._MAX_STORED
