import random

import pytest

from mesh.protocol.effects import DeploymentChanged
from mesh.protocol.node import Node
from mesh.wire import facts
from mesh.wire.errors import MeshError
from mesh.wire.facts import NO_PREVIOUS, Model
from mesh.wire.rights import Rights
from simulations.signing import KeyedHash, verify
from tests.mesh.protocol.stage import Stage

MODEL = Model("model.gguf", 1, bytes(32))


def _deploy(stage: Stage, running: bool = True) -> None:
    stage.perform(stage.node.deploy(stage.now, MODEL, 4096, 1, running))


def test_the_acts_of_an_owner_are_numbered_and_chained() -> None:
    stage = Stage()
    stage.perform(stage.node.vouch(stage.now, KeyedHash(5).public_key, Rights.WORK))
    _deploy(stage)
    founding, voucher = (facts.decode(data) for data in stage.node.chain(KeyedHash(5).id))
    deployment = stage.node.deployment()
    assert deployment is not None
    assert (founding.fact.number, founding.fact.previous) == (1, NO_PREVIOUS)
    assert (voucher.fact.number, voucher.fact.previous) == (2, founding.hash)
    assert (deployment.act, deployment.previous) == (3, voucher.hash)


def test_the_chain_goes_on_after_a_restart() -> None:
    stage = Stage()
    _deploy(stage)
    again = stage.restarted()
    _deploy(again, running=False)
    deployment = again.node.deployment()
    assert deployment is not None
    assert (deployment.act, deployment.number) == (3, 2)


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


def test_whoever_is_no_owner_neither_vouches_nor_deploys() -> None:
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
    act = facts.decode(again.node.chain(KeyedHash(10).id)[-1]).fact
    assert act.number == facts.decode(last).fact.number + 1
