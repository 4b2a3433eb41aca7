"""In which form a Node signs, by the versions that the others' records say they speak."""

import pytest

from mesh.protocol.base.effects import Expelled
from mesh.wire import codec, facts
from mesh.wire.errors import MeshError
from mesh.wire.facts import Deployment, Eviction, Liveness, Quarantine, Record, Voucher
from mesh.wire.identity import NodeId
from mesh.wire.messages import Ping
from mesh.wire.profile import Model, Profile
from mesh.wire.rights import Rights
from mesh.wire.signed_facts import Signed
from mesh.wire.states import Phase
from mesh.wire.versions import CLOSED, SPOKEN, Versions, marked
from simulations.signing import KeyedHash
from tests.mesh.protocol.stage import Actor, Stage

MODEL = Model("model.gguf", 1, bytes(32))
LATER = Versions(3, 4)
LATEST = Versions(4, 5)


def _own_record(stage: Stage) -> Signed[Record]:
    [record] = [
        fact
        for fact in stage.node.inspect().facts()
        if isinstance(fact.fact, Record) and fact.fact.author == stage.node.id
    ]
    return record


def _signs_older(stage: Stage) -> bool:
    """Whether the Node's record is in version 2's form, which has no field for the build."""
    return not _own_record(stage).fact.profile.build


def _stage(speaks: Versions = SPOKEN) -> Stage:
    """Alone, and what it says shows the form in which it signs."""
    stage = Stage(speaks=speaks)
    stage.republish(build="1.2.3")
    stage.wait(1.0)
    return stage


def _goes(stage: Stage, actor: Actor, how: str) -> None:
    other = stage.member(9)
    if how == "left":
        actor.tells(actor.record(sequence=2, left=True))
    elif how == "evicted":
        stage.perform(stage.node.evict(stage.now, actor.id))
    elif how == "quarantined":
        other.tells(actor.sign(Liveness(stage.pool, actor.id, actor.generation, 1, stable=False)))
    elif how == "upgraded":
        actor.speaks = SPOKEN
        actor.generation += 1
        actor.tells(actor.record())
    else:
        actor.answers = False
        stage.wait(6.0)
        assert stage.state_of(actor) == "dead"


def test_a_node_alone_and_one_among_its_like_sign_in_the_newest_form() -> None:
    stage = _stage()
    assert not _signs_older(stage)
    sequence = _own_record(stage).fact.sequence
    stage.member(2)
    stage.member(3, speaks=LATER)
    stage.wait(10.0)
    assert _own_record(stage).fact.sequence == sequence


def test_with_an_older_member_all_is_signed_in_the_older_form_at_once() -> None:
    stage = _stage()
    before = _own_record(stage).fact.sequence
    stage.member(2, speaks=CLOSED)
    assert _signs_older(stage)
    assert _own_record(stage).is_closed
    assert _own_record(stage).fact.sequence == before + 1
    assert _own_record(stage).fact.speaks == SPOKEN


@pytest.mark.parametrize("how", ["left", "evicted", "quarantined", "upgraded"])
def test_the_newer_form_comes_some_time_after_the_last_older_member_has_gone(how: str) -> None:
    stage = _stage()
    older = stage.member(2, speaks=CLOSED)
    stage.wait(1.0)
    _goes(stage, older, how)
    stage.wait(stage.settings.form_delay - 0.1)
    assert _signs_older(stage)
    stage.wait(0.2)
    assert not _signs_older(stage)


def test_a_dead_member_does_not_count_and_a_suspect_does() -> None:
    stage = _stage()
    older, suspector = stage.member(2, speaks=CLOSED), stage.member(3)
    stage.wait(1.0)
    suspector.tells(suspector.suspicion(older.id))
    assert stage.state_of(older) == "suspect"
    _goes(stage, older, "dead")
    stage.wait(stage.settings.form_delay)
    assert not _signs_older(stage)


def test_the_last_of_two_older_members_decides() -> None:
    stage = _stage()
    one, other = stage.member(2, speaks=CLOSED), stage.member(3, speaks=CLOSED)
    stage.wait(1.0)
    _goes(stage, one, "left")
    stage.wait(20.0)
    assert _signs_older(stage)
    _goes(stage, other, "left")
    stage.wait(6.0)
    assert not _signs_older(stage)


def test_an_older_member_that_comes_back_in_time_changes_nothing() -> None:
    stage = _stage()
    older = stage.member(2, speaks=CLOSED)
    stage.wait(1.0)
    before = _own_record(stage).fact.sequence
    for _ in range(4):
        older.tells(older.record(sequence=2, left=True))
        stage.wait(stage.settings.form_delay - 0.5)
        older.generation += 1
        older.tells(older.record())
        stage.wait(2.0)
    assert _own_record(stage).fact.sequence == before


def test_a_restart_keeps_the_form_until_the_members_of_then_have_had_their_time() -> None:
    stage = _stage()
    stage.member(2, speaks=CLOSED)
    again = stage.restarted()
    again.profile = stage.profile
    again.republish()
    again.wait(again.settings.form_delay - 0.5)
    assert _signs_older(again)
    again.wait(1.0)
    assert not _signs_older(again)
    third = again.restarted()
    third.profile = again.profile
    third.republish()
    third.wait(0.6)
    assert not _signs_older(third)


@pytest.mark.parametrize(
    ("stored", "speaks", "form"),
    [
        (0, SPOKEN, 3),
        (2, SPOKEN, 2),
        (3, SPOKEN, 3),
        (9, SPOKEN, 3),
        (2, LATER, 3),
        (3, LATER, 3),
        (4, CLOSED, 2),
    ],
)
def test_a_program_of_another_version_takes_up_the_nearest_form_that_it_speaks(
    stored: int, speaks: Versions, form: int
) -> None:
    stage = Stage(start=False)
    disk = {**stage.disk, **({"form": codec.pack([stored])} if stored else {})}
    again = Stage(stored=disk, speaks=speaks)
    assert again.node.inspect().form() == form


def test_a_program_that_was_of_version_2_begins_in_the_form_that_its_pool_reads() -> None:
    stage = _stage()
    assert stage.node.inspect().form() == SPOKEN.newest
    disk = {key: value for key, value in stage.disk.items() if key != "form"}
    again = Stage(stored=disk)
    assert again.node.inspect().form() == SPOKEN.oldest
    again.wait(again.settings.form_delay + 1.0)
    assert again.node.inspect().form() == SPOKEN.newest
    assert Stage(stored=again.disk).node.inspect().form() == SPOKEN.newest


def test_a_liars_word_on_what_another_speaks_changes_nothing() -> None:
    """Neither the version of a datagram nor a record that is not its author's counts."""
    stage = _stage()
    liar, other = stage.member(2), stage.member(3)
    before = _own_record(stage).fact.sequence
    forged = Record(stage.pool, other.id, 1, bytes(8), 9, False, stage.profile)
    liar.tells(liar.sign(forged))
    for speaks in (CLOSED, LATER, LATEST):
        liar.speaks = speaks
        liar.says(Ping(1, bytes(8), 1, 0))
    stage.wait(10.0)
    assert _own_record(stage).fact.sequence == before
    assert not _signs_older(stage)


def test_a_member_without_a_version_in_common_does_not_hold_the_form_back() -> None:
    stage = Stage(speaks=LATER)
    stage.member(2, speaks=CLOSED)
    stage.wait(1.0)
    assert stage.node.inspect().form() == 4
    stage.member(3)
    assert stage.node.inspect().form() == 3


def test_a_member_that_changes_its_mind_all_the_time_costs_a_record_in_each_delay() -> None:
    stage = _stage()
    actor = stage.member(2)
    before = _own_record(stage).fact.sequence
    for sequence in range(2, 102):
        speaks = CLOSED if sequence % 2 else SPOKEN
        actor.tells(actor.record(sequence, nonce=marked(bytes(8), speaks)))
        stage.wait(0.2)
    assert _own_record(stage).fact.sequence <= before + 1


def test_who_leaves_before_the_delay_is_over_signs_nothing_more() -> None:
    stage = _stage()
    older = stage.member(2, speaks=CLOSED)
    stage.wait(1.0)
    older.tells(older.record(sequence=2, left=True))
    stage.perform(stage.node.leave(stage.now))
    farewell = _own_record(stage)
    stage.wait(20.0)
    assert _own_record(stage) == farewell


def test_an_expelled_node_signs_nothing_for_an_older_member_that_comes() -> None:
    founded = Stage()
    signer, other = founded.member(5, known=False).signer, founded.member(2, known=False).signer
    stage = Stage(signer=signer, chain=founded.node.chain(signer.id))
    founder, older = Actor(stage, 1, 1), Actor(stage, 2, 1, speaks=CLOSED)
    founder.tells(founder.record(), *founded.node.chain(other.id))
    founded.perform(founded.node.evict(founded.now, signer.id))
    [eviction] = founded.node.inspect().facts(Eviction)
    founder.tells(eviction.data, older.record())
    assert stage.told(Expelled)
    assert stage.node.inspect().form() == 3


LATER_WORDS = {
    "quarantines": ((), (Quarantine(NodeId(bytes(16)), "gpu 1", 60, "it fell off the bus"),)),
    "devices": ((facts.Stage(NodeId(bytes(16)), 0, 3, True, 1, 1.0, "gpu 1"),), ()),
}


@pytest.mark.parametrize(("stages", "quarantines"), LATER_WORDS.values(), ids=LATER_WORDS)
def test_what_an_older_member_cannot_read_is_said_again_without_it_and_with(
    stages: tuple[facts.Stage, ...], quarantines: tuple[Quarantine, ...]
) -> None:
    stage = Stage()
    stage.wait(1.0)
    stage.perform(stage.node.report(stage.now, 1, Phase.READY, 1.0, "", 5.0, stages, quarantines))
    older = stage.member(2, speaks=CLOSED)
    state = stage.node.pool_state()
    assert state is not None
    assert (state.sequence, state.quarantines) == (2, ())
    assert not any(each.device for each in state.stages)
    older.tells(older.record(sequence=2, left=True))
    stage.wait(6.0)
    state = stage.node.pool_state()
    assert state is not None
    assert (state.sequence, state.stages, state.quarantines) == (3, stages, quarantines)


def _older(stage: Stage, number: int, name: str) -> Actor:
    """A present member of version 2 with that name."""
    actor = stage.member(number, known=False, speaks=CLOSED)
    profile = Profile(name=name, addresses=(actor.address,))
    actor.tells(actor.sign(Record(stage.pool, actor.id, 1, bytes(8), 1, False, profile)))
    return actor


@pytest.mark.parametrize("act", ["vouch", "choose_engine"])
def test_an_owner_learns_which_members_could_not_read_what_it_says(act: str) -> None:
    stage = Stage()

    def perform() -> None:
        if act == "vouch":
            key = KeyedHash(9).public_key
            stage.perform(stage.node.vouch(stage.now, key, Rights.WORK | Rights.NO_ASK))
        else:
            stage.perform(stage.node.choose_engine(stage.now, "b1", bytes(32)))

    bert, anna = _older(stage, 2, "bert"), _older(stage, 3, "anna")
    with pytest.raises(MeshError, match=r"anna and bert could not read this.*version 2"):
        perform()
    bert.tells(bert.record(sequence=2, left=True))
    anna.tells(anna.record(sequence=2, left=True))
    with pytest.raises(MeshError, match=r"until now.*try again in 5 seconds"):
        perform()
    stage.wait(5.1)
    perform()


def test_a_deployment_that_older_members_could_not_read_is_said_again_all_the_same() -> None:
    stage = Stage()
    owner = stage.member(4)
    options = (("flash", "on"),)
    owner.tells(owner.sign(Deployment(stage.pool, owner.id, 1, MODEL, 1, 1, True, options=options)))
    _older(stage, 2, "bert")
    stage.perform(stage.node.deploy(stage.now, MODEL, 1, 1, False))
    said = stage.node.deployment()
    assert said is not None
    assert (said.running, said.options) == (False, options)


def test_what_the_older_form_can_say_is_said_while_an_older_member_is_there() -> None:
    stage = Stage()
    _older(stage, 2, "bert")
    stage.perform(stage.node.vouch(stage.now, KeyedHash(9).public_key, Rights.WORK))
    stage.perform(stage.node.deploy(stage.now, MODEL, 1, 1, True))
    said = [*stage.node.inspect().facts(Deployment), *stage.node.inspect().facts(Voucher)]
    assert len(said) == 4
    assert all(signed.is_closed for signed in said)
