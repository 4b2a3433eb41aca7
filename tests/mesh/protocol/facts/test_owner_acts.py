import random
from dataclasses import replace

import pytest

from mesh.protocol.base.effects import DeploymentChanged
from mesh.protocol.node.node import Node
from mesh.wire import codec, facts, signed_facts
from mesh.wire.errors import MeshError
from mesh.wire.facts import NO_PREVIOUS, Deployment, Eviction, PoolEngine
from mesh.wire.profile import Model
from mesh.wire.rights import ALL_RIGHTS, Rights
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
    with pytest.raises(MeshError):
        stage.node.vouch(stage.now, b"short", Rights.WORK)
    with pytest.raises(MeshError):
        stage.node.vouch(stage.now, KeyedHash(5).public_key, Rights(0))


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


OPTIONS = (("later", "word"), ("mmap", "off"))
TAIL = codec.pack(["of a later version", [1]])


def _rich(stage: Stage, author: Actor, number: int) -> Deployment:
    """A deployment that says more than this program knows of."""
    wish = Deployment(stage.pool, author.id, number, MODEL, 4096, 1, True)
    return replace(wish, options=OPTIONS, second=replace(MODEL, name="eyes"), unknown=TAIL)


def test_another_owner_that_deploys_the_model_again_keeps_what_it_does_not_know() -> None:
    stage = Stage()
    other = stage.member(2)
    other.tells(other.sign(_rich(stage, other, 5)))
    _deploy(stage, running=False)
    said = stage.node.deployment()
    assert said == replace(_rich(stage, other, 6), author=stage.node.id, running=False)


def test_another_model_takes_none_of_the_former_ones_options() -> None:
    stage = Stage()
    other = stage.member(2)
    other.tells(other.sign(_rich(stage, other, 5)))
    stage.perform(stage.node.deploy(stage.now, replace(MODEL, root=b"r" * 32), 4096, 1, True))
    said = stage.node.deployment()
    assert said is not None
    assert (said.options, said.second, said.unknown) == ((), None, b"")


def test_the_evicting_owner_keeps_all_that_the_evicted_ones_deployment_says() -> None:
    stage = Stage()
    other = stage.member(2)
    other.tells(other.sign(_rich(stage, other, 5)))
    stage.perform(stage.node.evict(stage.now, other.id))
    assert stage.node.deployment() == replace(_rich(stage, other, 6), author=stage.node.id)


def test_the_pools_engine_is_the_word_of_an_owner_and_the_highest_number_holds() -> None:
    stage = Stage()
    owner, member = stage.member(2), stage.member(3, rights=Rights.WORK)
    node = stage.node
    assert node.pool_engine() is None
    member.tells(member.sign(PoolEngine(stage.pool, member.id, (9,), b"", "b9", b"")))
    assert node.pool_engine() is None
    owner.tells(owner.sign(PoolEngine(stage.pool, owner.id, (1,), b"", "b1", b"")))
    said = node.pool_engine()
    assert said is not None
    assert said.release == "b1"


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
