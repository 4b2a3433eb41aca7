"""What an owner may do: invite, approve, evict; and that nobody else may."""

from pathlib import Path
from typing import Any

import pytest

from mesh.admission.codes import Code
from mesh.admission.invites import Token, invite_id, proof
from mesh.admission.pairing_lobby import Applicant
from mesh.operations import owner_operations
from mesh.operations.owner_operations import OwnerOperations
from mesh.wire.errors import MeshError
from mesh.wire.facts import NO_PREVIOUS, Voucher
from mesh.wire.identity import id_text
from mesh.wire.rights import ALL_RIGHTS, Rights
from simulations.signing import KeyedHash
from tests.mesh.operations.homes import Events, FakeHome, admitted
from tests.mesh.protocol.stage import OWN_ADDRESS
from tests.mesh.protocol.stage import Stage as Scene

CODE = "42-swift-otter-elm"


@pytest.fixture
def home(tmp_path: Path) -> FakeHome:
    home = FakeHome(tmp_path, Scene())
    home.enter()
    return home


async def test_an_invite_gives_the_rights_that_were_asked_for(home: FakeHome) -> None:
    operations = OwnerOperations(home)
    result = await operations.invite({"rights": ["lead", "work"], "expires": 60.0, "uses": 1}, Events().emit)
    assert (result["rights"], result["expires"], result["uses"]) == (["work", "lead"], 60.0, 1)
    token = Token.parse(result["token"])
    assert (token.pool, token.hints) == (home.scene.pool, (OWN_ADDRESS,))
    for key, granted in ((b"k" * 32, Rights.LEAD | Rights.WORK | Rights.NO_ASK), (b"j" * 32, None)):
        told = proof(token.secret, token.pool, key)
        if granted is None:
            with pytest.raises(MeshError, match="used up"):
                home.stay.invites.redeem(token.pool, invite_id(token.secret), key, told)
        else:
            assert home.stay.invites.redeem(token.pool, invite_id(token.secret), key, told) == granted


async def test_an_owners_invite_says_that_an_owner_may_ask(home: FakeHome) -> None:
    operations = OwnerOperations(home)
    result = await operations.invite({"rights": ["own"], "expires": 60.0, "uses": 1}, Events().emit)
    assert result["rights"] == ["ask", "own"]


async def test_an_invite_for_no_number_is_for_any_number(home: FakeHome) -> None:
    operations = OwnerOperations(home)
    result = await operations.invite({"rights": ["work"], "expires": 60.0, "uses": 0}, Events().emit)
    unlimited = home.stay.invites.unlimited(home.scene.pool, home.scene.node.id, [OWN_ADDRESS])
    assert unlimited is not None
    assert (unlimited.text(), result["uses"]) == (result["token"], 0)


async def test_an_approved_machine_is_named_with_the_rights_that_it_has(
    home: FakeHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    applicant = KeyedHash(7)
    made: list[object] = []

    class FakeApprover:
        def __init__(self, *_: object) -> None:
            made.append(self)

        async def approve(self, driver: Any, code: Code, rights: Rights) -> Applicant:
            assert code == Code.parse(CODE)
            scene = home.scene
            scene.perform(scene.node.vouch(scene.now, applicant.public_key, rights))
            return Applicant(applicant.public_key, "vera", code.slot, "192.0.2.7")

    monkeypatch.setattr(owner_operations, "Approver", FakeApprover)
    operations = OwnerOperations(home)
    for _ in range(2):
        result = await operations.approve({"code": CODE, "rights": ["work"]}, Events().emit)
        assert result == {"id": id_text(applicant.id), "name": "vera", "rights": ["work"]}
    assert len(made) == 1, "it counts wrong codes from one approval to the next"


async def test_an_eviction_names_the_member_and_leaves_those_that_it_had_vouched_for(home: FakeHome) -> None:
    scene = home.scene
    bad, good, friend = scene.member(2), scene.member(3), KeyedHash(4)
    key = friend.public_key
    bad.tells(bad.sign(Voucher(scene.pool, bad.id, 1, NO_PREVIOUS, key, Rights.WORK)))
    assert scene.node.rights(friend.id) == Rights.WORK
    result = await OwnerOperations(home).evict({"member": id_text(bad.id)}, Events().emit)
    assert result == {"id": id_text(bad.id), "name": "actor", "fallen": []}
    assert set(scene.node.keys()) == {scene.node.id, good.id, friend.id}


async def test_an_id_that_is_none_is_refused(home: FakeHome) -> None:
    with pytest.raises(MeshError):
        await OwnerOperations(home).evict({"member": "anna"}, Events().emit)


async def test_nobody_but_an_owner_may_do_any_of_it(tmp_path: Path) -> None:
    home = FakeHome(tmp_path, admitted(ALL_RIGHTS & ~Rights.OWN))
    home.enter()
    operations, emit = OwnerOperations(home), Events().emit
    with pytest.raises(MeshError, match=r"may not invite.*ask an owner: mesh invite there"):
        await operations.invite({"rights": ["work"], "expires": 60.0, "uses": 1}, emit)
    with pytest.raises(MeshError, match=r"may not approve.*ask an owner: mesh approve there"):
        await operations.approve({"code": CODE, "rights": ["work"]}, emit)
    with pytest.raises(MeshError, match=r"may not evict.*ask an owner: mesh evict there"):
        await operations.evict({"member": id_text(home.scene.node.id)}, emit)
