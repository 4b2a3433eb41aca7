import dataclasses
import random
from typing import Any

import pytest

from mesh.protocol.base.effects import DeploymentChanged
from mesh.protocol.node.node import Node
from mesh.wire import codec, facts, signed_facts
from mesh.wire.errors import MeshError
from mesh.wire.facts import NO_PREVIOUS, Deployment, Eviction, PoolEngine
from mesh.wire.identity import id_text
from mesh.wire.messages import Bodies, encode
from mesh.wire.profile import Model
from mesh.wire.rights import ALL_RIGHTS, Rights
from mesh.wire.signed_facts import MAX_FACT, MAX_LATER
from mesh.wire.versions import CLOSED
from simulations.signing import KeyedHash, verify
from tests.mesh.protocol.stage import Actor, Stage

MODEL = Model("model.gguf", 1, bytes(32))


def _deploy(stage: Stage, running: bool = True) -> None:
    stage.perform(stage.node.deploy(stage.now, MODEL, 4096, 1, running))


def test_the_acts_of_an_owner_are_numbered_and_chained() -> None:
    stage = Stage()
    stage.member(5)
    founding, voucher = (signed_facts.decode(data) for data in stage.node.chain(KeyedHash(5).id))
    stage.perform(stage.node.evict(stage.now, KeyedHash(5).id))
    [eviction] = (signed for signed in stage.node.inspect().facts() if isinstance(signed.fact, Eviction))
    assert (founding.fact.number, founding.fact.previous) == (1, NO_PREVIOUS)
    assert (voucher.fact.number, voucher.fact.previous) == (2, founding.hash)
    assert (eviction.fact.number, eviction.fact.previous) == (3, voucher.hash)


def test_the_chain_goes_on_after_a_restart() -> None:
    stage = Stage()
    stage.member(2, known=False)
    again = stage.restarted()
    again.member(3, known=False)
    before, after = (signed_facts.decode(again.node.chain(KeyedHash(n).id)[-1]) for n in (2, 3))
    assert (after.fact.number, after.fact.previous) == (3, before.hash)


@pytest.mark.parametrize("head", [[1], [1, 5], ["1", bytes(16)], [1, bytes(15)], [codec.MAX_UINT, bytes(16)]])
def test_a_damaged_head_of_the_chain_is_told_as_such(head: list[object]) -> None:
    disk = {**Stage().disk, "act": codec.pack(head)}
    with pytest.raises(MeshError, match="chain of this owner's acts is damaged"):
        Stage(stored=disk)


def test_a_deployment_survives_a_restart() -> None:
    stage = Stage()
    _deploy(stage)
    assert stage.restarted().node.deployment() == stage.node.deployment()


def test_the_deployment_with_the_highest_number_holds_for_everyone() -> None:
    stage = Stage()
    other = stage.member(2)
    _deploy(stage)
    first = stage.node.deployment()
    assert first is not None
    later = facts.Deployment(stage.pool, other.id, first.number + 1, MODEL, 1, 1, False, ())
    other.tells(other.sign(later))
    assert stage.node.deployment() == later
    assert stage.told(DeploymentChanged)[-1].deployment == later
    _deploy(stage)
    present = stage.node.deployment()
    assert present is not None
    assert present.number == later.number + 1


def test_a_member_that_is_no_owner_neither_vouches_nor_deploys() -> None:
    stage = Stage()
    actor = stage.member(2, rights=Rights.WORK)
    assert stage.node.rights(actor.id) == Rights.WORK
    node = Node(stage.settings, actor.signer, verify, random.Random(1), {})
    node.admit(0.0, stage.node.chain(actor.id))
    with pytest.raises(MeshError, match="Only an owner"):
        node.vouch(0.0, KeyedHash(5).public_key, Rights.WORK)
    with pytest.raises(MeshError, match="Only an owner"):
        node.deploy(0.0, MODEL, 1, 1, True)


def test_nothing_is_vouched_for_without_a_key_or_a_right() -> None:
    stage = Stage()
    for key, rights in ((b"short", Rights.WORK), (KeyedHash(5).public_key, Rights.NO_ASK)):
        with pytest.raises(MeshError, match="nothing to vouch for"):
            stage.node.vouch(stage.now, key, rights)


def test_who_only_asks_is_vouched_for() -> None:
    stage = Stage()
    stage.perform(stage.node.vouch(stage.now, KeyedHash(5).public_key, Rights(0)))
    assert stage.node.rights(KeyedHash(5).id).names() == ["ask"]
    assert stage.node.keys()[KeyedHash(5).id] == KeyedHash(5).public_key


def test_two_vouchers_with_one_number_of_an_owner_whose_disk_was_set_back_both_stand() -> None:
    stage = Stage()
    before = dict(stage.disk)
    stage.member(2, known=False)
    stage.disk = before
    again = stage.restarted()
    third = again.member(3)
    third.tells(*stage.node.chain(KeyedHash(2).id))
    assert {KeyedHash(2).id, third.id} <= again.node.keys().keys()


def test_an_owner_whose_disk_was_set_back_goes_on_after_the_last_act_that_it_meets() -> None:
    stage = Stage()
    before = dict(stage.disk)
    actors = [stage.member(number) for number in range(2, 6)]
    last = stage.node.chain(actors[-1].id)[-1]
    stage.disk = before
    again = stage.restarted()
    other = again.member(9)
    other.tells(last)
    again.perform(again.node.vouch(again.now, KeyedHash(10).public_key, Rights.WORK))
    act = signed_facts.decode(again.node.chain(KeyedHash(10).id)[-1]).fact
    assert act.number == signed_facts.decode(last).fact.number + 1


def test_an_eviction_that_is_impossible_raises_an_error() -> None:
    stage = Stage()
    volunteer = stage.member(2, rights=Rights.WORK)
    with pytest.raises(MeshError, match="does not evict itself"):
        stage.node.evict(stage.now, stage.node.id)
    with pytest.raises(MeshError, match="no such member"):
        stage.node.evict(stage.now, KeyedHash(9).id)
    stage.perform(stage.node.evict(stage.now, volunteer.id))
    with pytest.raises(MeshError, match="already"):
        stage.node.evict(stage.now, volunteer.id)
    with pytest.raises(MeshError, match="new identity"):
        stage.node.vouch(stage.now, volunteer.signer.public_key, Rights.WORK)


def test_the_evicting_owner_takes_over_the_deployment_of_the_evicted_one() -> None:
    stage = Stage()
    owner = stage.member(2)
    owner.tells(owner.sign(Deployment(stage.pool, owner.id, 5, MODEL, 77, 1, True, (), copies=3)))
    stage.perform(stage.node.evict(stage.now, owner.id))
    deployment = stage.node.deployment()
    assert deployment is not None
    assert (deployment.author, deployment.number, deployment.context) == (stage.node.id, 6, 77)
    assert deployment.copies == 3


def test_an_owner_does_not_evict_one_whose_voucher_makes_it_an_owner() -> None:
    """Any act that this owner could name as the last would revoke its own only voucher."""
    founder = Stage()
    middle = founder.member(2, known=False)
    number, previous = (
        7,
        b"p" * 16,
    )  # acts before this one never came: the chain is not known to its beginning
    voucher = facts.Voucher(founder.pool, middle.id, number, previous, KeyedHash(3).public_key, ALL_RIGHTS)
    node = Node(founder.settings, KeyedHash(3), verify, random.Random(1), {})
    node.admit(0.0, [*founder.node.chain(middle.id), middle.sign(voucher)])
    with pytest.raises(MeshError, match="cannot evict one that vouched for it"):
        node.evict(0.0, middle.id)


def test_members_that_an_eviction_would_revoke_by_mistake_are_vouched_for_anew() -> None:
    stage = Stage()
    owner = stage.member(2)
    one, other = KeyedHash(3), KeyedHash(4)
    for key in (one, other):  # two first acts, with a state rollback between them
        voucher = facts.Voucher(stage.pool, owner.id, 1, NO_PREVIOUS, key.public_key, Rights.WORK)
        owner.tells(owner.sign(voucher))
    stage.perform(stage.node.evict(stage.now, owner.id))
    assert stage.node.rights(one.id) == stage.node.rights(other.id) == Rights.WORK


@pytest.mark.parametrize("ahead", [2**21, 2**63 - 1])
def test_an_owner_that_uses_up_deployment_numbers_is_evicted_and_its_model_stays(
    ahead: int,
) -> None:
    stage = Stage()
    _deploy(stage)
    liar = stage.member(2)
    wish = Deployment(stage.pool, liar.id, ahead, MODEL, 1, 1, True)
    liar.tells(liar.sign(wish))
    assert stage.node.deployment() == wish
    with pytest.raises(MeshError, match="beyond all measure"):
        _deploy(stage)
    stage.perform(stage.node.evict(stage.now, liar.id))
    present = stage.node.deployment()
    assert present is not None
    assert (present.author, present.number, present.context) == (stage.node.id, 2, 1)


OPTIONS = (("flash", "on"), ("what nobody knows", "7"))
SECOND = Model("second.gguf", 2, bytes([2]) * 32)
UNKNOWN = codec.pack(["of a later version", 7])


def _rich(stage: Stage, owner: Actor, number: int = 1) -> Deployment:
    """What an owner with a later program deployed, which says more than this one knows."""
    return Deployment(
        stage.pool, owner.id, number, MODEL, 77, 1, True, options=OPTIONS, second=SECOND, unknown=UNKNOWN
    )


def _engine(stage: Stage, owner: Actor, number: int = 1) -> PoolEngine:
    return PoolEngine(stage.pool, owner.id, (number,), b"", f"b{number}", bytes([7]) * 32)


def test_who_deploys_the_same_model_again_keeps_what_it_does_not_know() -> None:
    stage = Stage()
    owner = stage.member(2)
    owner.tells(owner.sign(_rich(stage, owner)))
    _deploy(stage, running=False)
    present = stage.node.deployment()
    assert present is not None
    assert (present.author, present.number, present.running) == (stage.node.id, 2, False)
    assert (present.options, present.second, present.unknown) == (OPTIONS, SECOND, UNKNOWN)


def test_options_of_a_deployment_are_signed_and_then_kept() -> None:
    stage = Stage()
    source = (("source", "hf:a/b"),)
    stage.perform(stage.node.deploy(stage.now, MODEL, 1, 1, True, (), 2, source))
    _deploy(stage, running=False)
    present = stage.node.deployment()
    assert present is not None
    assert (present.number, present.options) == (2, source)
    stage.perform(stage.node.deploy(stage.now, MODEL, 1, 1, True, (), 2, OPTIONS))
    present = stage.node.deployment()
    assert present is not None
    assert present.options == OPTIONS


def test_options_that_an_older_member_could_not_read_are_left_out() -> None:
    stage = Stage()
    stage.member(3, speaks=CLOSED)
    stage.perform(stage.node.deploy(stage.now, MODEL, 1, 1, True, (), 2, OPTIONS))
    (said,) = stage.node.inspect().facts(Deployment)
    assert said.is_closed
    assert said.fact.running


def test_a_second_file_is_signed_and_kept_until_another_wish_leaves_it_out() -> None:
    stage = Stage()
    told = (stage.now, MODEL, 1, 1, True, (), 2)
    stage.perform(stage.node.deploy(*told, (), SECOND))
    _deploy(stage, running=False)
    present = stage.node.deployment()
    assert present is not None
    assert (present.running, present.second, present.held) == (False, SECOND, (MODEL, SECOND))
    stage.perform(stage.node.deploy(*told, ()))
    present = stage.node.deployment()
    assert present is not None
    assert (present.second, present.held) == (None, (MODEL,))


@pytest.mark.parametrize(("options", "second"), [(OPTIONS, None), ((), SECOND)])
def test_what_is_essential_is_not_left_out_for_an_older_member(options: Any, second: Model | None) -> None:
    stage = Stage()
    stage.member(3, speaks=CLOSED)
    with pytest.raises(MeshError, match="could not read this"):
        stage.node.deploy(stage.now, MODEL, 1, 1, True, (), 2, options, second, essential=True)
    assert stage.node.deployment() is None


def test_options_beyond_their_bound_do_not_keep_a_model_from_being_served() -> None:
    stage = Stage()
    owner = stage.member(2)
    owner.tells(owner.sign(_rich(stage, owner)))
    stage.perform(stage.node.deploy(stage.now, MODEL, 1, 1, True, (), 2, (("long", "x" * 65),)))
    present = stage.node.deployment()
    assert present is not None
    assert (present.author, present.options, present.unknown) == (stage.node.id, OPTIONS, UNKNOWN)


def test_what_was_said_of_a_model_does_not_hold_for_another() -> None:
    stage = Stage()
    owner = stage.member(2)
    owner.tells(owner.sign(_rich(stage, owner)))
    stage.perform(stage.node.deploy(stage.now, SECOND, 1, 1, True))
    present = stage.node.deployment()
    assert present is not None
    assert (present.options, present.second, present.unknown) == ((), None, b"")


def test_a_deployment_with_a_name_is_for_later_programs() -> None:
    stage = Stage()
    owner = stage.member(2)
    _deploy(stage)
    plain = stage.node.deployment()
    named = Deployment(stage.pool, owner.id, 2**40, MODEL, 1, 1, True, name="other")
    owner.tells(owner.sign(named))
    assert stage.node.deployment() == plain
    _deploy(stage)
    present = stage.node.deployment()
    assert present is not None
    assert present.number == 2
    assert named in [signed.fact for signed in stage.node.inspect().facts(Deployment)]


def test_the_word_on_the_engine_with_the_highest_number_holds_for_everyone() -> None:
    stage = Stage()
    owner, worker = stage.member(2), stage.member(3, rights=Rights.WORK)
    assert stage.node.pool_engine() is None
    worker.tells(worker.sign(_engine(stage, worker, 9)))
    assert stage.node.pool_engine() is None
    owner.tells(owner.sign(_engine(stage, owner, 5)))
    assert stage.node.pool_engine() == _engine(stage, owner, 5)
    stage.perform(stage.node.choose_engine(stage.now, "b77", bytes(32)))
    present = stage.node.pool_engine()
    assert present is not None
    assert (present.author, present.version, present.release) == (stage.node.id, (6,), "b77")
    owner.tells(owner.sign(_engine(stage, owner, 5)))
    assert stage.node.pool_engine() == present
    assert stage.restarted().node.pool_engine() == present


@pytest.mark.parametrize("kind", [Deployment, PoolEngine])
@pytest.mark.parametrize("number", [1, 2**21, 2**63 - 1])
def test_the_evicting_owner_says_again_all_that_the_evicted_one_said(kind: type[Any], number: int) -> None:
    """Even beside a member of version 2, which read the former word no more than it reads this one."""
    stage = Stage()
    owner = stage.member(2)
    word: Any = _rich(stage, owner, number) if kind is Deployment else _engine(stage, owner, number)
    owner.tells(owner.sign(word))
    stage.member(3, speaks=CLOSED)
    stage.perform(stage.node.evict(stage.now, owner.id))
    present = stage.node.deployment() if kind is Deployment else stage.node.pool_engine()
    assert present is not None
    assert (present.author, present.version) == (stage.node.id, (2,) if number == 1 else (1,))
    said = {field.name for field in dataclasses.fields(word)} - {"author", "number", "version"}
    assert {name: getattr(present, name) for name in said} == {name: getattr(word, name) for name in said}


def _fill(stage: Stage, owner: Actor, word: Any) -> None:
    """The owner says the word with so much behind it that its fact has no room for a longer number."""
    most = MAX_FACT if isinstance(word, Deployment) else MAX_LATER
    room = most - len(owner.sign(dataclasses.replace(word, unknown=b"")))
    data = owner.sign(dataclasses.replace(word, unknown=codec.pack([bytes(room - 3)])))
    assert len(data) == most
    stage.perform(stage.node.receive_stream(stage.now, owner.id, encode(Bodies((data,)))))


@pytest.mark.parametrize("kind", [Deployment, PoolEngine])
def test_a_word_that_fills_a_fact_saves_no_owner_from_eviction(kind: type[Any]) -> None:
    stage = Stage()
    owner = stage.member(2)
    word: Any = _rich(stage, owner, 127) if kind is Deployment else _engine(stage, owner, 127)
    _fill(stage, owner, word)
    stage.perform(stage.node.evict(stage.now, owner.id))
    present = stage.node.deployment() if kind is Deployment else stage.node.pool_engine()
    assert present is not None
    assert (present.author, present.version, present.unknown) == (stage.node.id, (128,), b"")


def test_a_deployment_that_fills_a_fact_is_replaced() -> None:
    stage = Stage()
    owner = stage.member(2)
    _fill(stage, owner, _rich(stage, owner, 127))
    _deploy(stage, running=False)
    present = stage.node.deployment()
    assert present is not None
    assert (present.number, present.running, present.options, present.unknown) == (128, False, OPTIONS, b"")


@pytest.mark.parametrize("ahead", [2**21, 2**63 - 1])
def test_an_owner_that_uses_up_the_numbers_of_the_engine_is_named(ahead: int) -> None:
    stage = Stage()
    stage.perform(stage.node.choose_engine(stage.now, "b1", bytes(32)))
    liar = stage.member(2)
    liar.tells(liar.sign(_engine(stage, liar, ahead)))
    with pytest.raises(MeshError, match=rf"{id_text(liar.id)} numbers its words on the engine beyond"):
        stage.node.choose_engine(stage.now, "b2", bytes(32))


def test_a_member_that_an_eviction_would_bar_from_asking_is_vouched_for_anew() -> None:
    stage = Stage()
    owner = stage.member(2)
    ones = [KeyedHash(3), KeyedHash(4)]
    for one in ones:
        stage.perform(stage.node.vouch(stage.now, one.public_key, Rights.WORK | Rights.NO_ASK))
        voucher = facts.Voucher(stage.pool, owner.id, 1, NO_PREVIOUS, one.public_key, Rights.WORK)
        owner.tells(owner.sign(voucher))
    assert [stage.node.rights(one.id) for one in ones] == [Rights.WORK, Rights.WORK]
    stage.perform(stage.node.evict(stage.now, owner.id))
    assert [stage.node.rights(one.id) for one in ones] == [Rights.WORK, Rights.WORK]


def test_an_eviction_vouches_anew_for_rights_that_an_older_member_cannot_read() -> None:
    stage = Stage()
    owner = stage.member(2)
    barred = Rights.WORK | Rights.NO_ASK
    ones = [KeyedHash(3), KeyedHash(4)]
    for one in ones:  # two first acts, with a state rollback between them
        voucher = facts.Voucher(stage.pool, owner.id, 1, NO_PREVIOUS, one.public_key, barred)
        owner.tells(owner.sign(voucher))
    stage.member(5, speaks=CLOSED)
    stage.perform(stage.node.evict(stage.now, owner.id))
    assert [stage.node.rights(one.id) for one in ones] == [barred, barred]


def test_a_word_on_the_engine_that_only_later_versions_read_does_not_count() -> None:
    stage = Stage()
    one, other = stage.member(2), stage.member(3)
    body = codec.pack([PoolEngine.kind, stage.pool, one.id, [7], b"", ["of a later version"]])
    one.tells(body + one.signer.sign(b"mesh fact 1\0" + body))
    assert body in {signed.data[:-64] for signed in stage.node.inspect().facts()}
    assert stage.node.pool_engine() is None
    other.tells(other.sign(PoolEngine(stage.pool, other.id, (1,), b"", "b1", b"")))
    said = stage.node.pool_engine()
    assert said is not None
    assert said.release == "b1"
