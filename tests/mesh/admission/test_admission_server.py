"""The admission server: which machines it admits, with which rights, and how it refuses the others."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from mesh.admission.admission_server import ANSWER_SECONDS
from mesh.admission.handshake import AdmissionClient, AdmissionRefused, signed_request
from mesh.admission.invites import Token, invite_id, proof
from mesh.net.session import StreamRefused
from mesh.net.stream_kinds import StreamKind
from mesh.net.versions_preface import ProgramVersion
from mesh.wire.errors import MeshError
from mesh.wire.identity import Identity
from mesh.wire.profile import Model
from mesh.wire.rights import ALL_RIGHTS, Rights
from mesh.wire.versions import Versions
from tests.mesh.admission.company import ask, in_company
from tests.mesh.machines import Ground, Here


async def answer_to(joiner: Here, member: Here, request: Any) -> Any:
    """The admission server's answer to a dishonest request; a dict is completed first."""
    client = await AdmissionClient.connect(joiner.streams, member.endpoint)
    if isinstance(request, dict):
        signature = joiner.identity.sign(signed_request(member.id, client.greeting.nonce))
        honest = {"key": joiner.identity.public_key, "name": joiner.name, "signature": signature}
        request = {**honest, **request}
    try:
        await client.session.send_message(request)
        with trio.fail_after(ANSWER_SECONDS + 5):
            return await client.session.receive_message()
    finally:
        await client.aclose()


# --- without an invite


async def test_a_machine_of_the_same_owner_needs_no_invite_and_gets_all_rights(
    clock: MockClock, ground: Ground
) -> None:
    anna, bert = await ground.machine("anna", "alice"), await ground.machine("bert", "alice")
    anna.found()
    admitted = await ask(bert, anna)
    assert admitted.pool == anna.own_pool
    assert anna.node.rights(bert.id) == ALL_RIGHTS


async def test_another_owners_machine_is_refused_with_both_names(clock: MockClock, ground: Ground) -> None:
    anna, bert = await ground.machine("anna", "alice"), await ground.machine("bert", "bob")
    anna.found()
    with pytest.raises(AdmissionRefused, match="belongs to bob, this pool to alice") as caught:
        await ask(bert, anna)
    assert "mesh invite" in caught.value.hint
    assert anna.node.chain(bert.id) == []


async def test_a_machine_that_is_not_on_the_tailnet_is_refused(clock: MockClock, ground: Ground) -> None:
    anna, bert = await ground.machine("anna", "alice"), await ground.machine("bert")
    anna.found()
    with pytest.raises(AdmissionRefused, match="no machine of this pool's tailnet"):
        await ask(bert, anna)


async def test_without_a_tailnet_a_pool_admits_by_invite_alone(clock: MockClock, ground: Ground) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    anna.found()
    with pytest.raises(AdmissionRefused, match="admits by invite"):
        await ask(bert, anna)


async def test_nobody_is_let_in_while_the_tailnet_cannot_tell_who_asks(
    clock: MockClock, ground: Ground
) -> None:
    anna, bert = await ground.machine("anna", "alice"), await ground.machine("bert", "alice")
    anna.found()
    ground.tailnet.down = "the tailnet is stopped"
    with pytest.raises(AdmissionRefused, match="cannot tell who you are: the tailnet is stopped"):
        await ask(bert, anna)


# --- with an invite


async def test_an_invite_opens_the_door_of_its_issuer(clock: MockClock, ground: Ground) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    anna.found()
    await ask(bert, anna, anna.invite(rights=Rights.WORK))
    assert anna.node.rights(bert.id) == Rights.WORK


async def test_who_asks_again_gets_the_same_voucher_again(clock: MockClock, ground: Ground) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    anna.found()
    token = anna.invite(uses=1)
    assert await ask(bert, anna, token) == await ask(bert, anna, token)


async def test_a_second_invite_may_add_rights(clock: MockClock, ground: Ground) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    anna.found()
    await ask(bert, anna, anna.invite(rights=Rights.WORK))
    await ask(bert, anna, anna.invite(rights=ALL_RIGHTS))
    assert anna.node.rights(bert.id) == ALL_RIGHTS


async def test_a_second_invite_may_add_the_right_to_ask(clock: MockClock, ground: Ground) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    anna.found()
    await ask(bert, anna, anna.invite(rights=Rights.WORK | Rights.NO_ASK))
    assert not anna.node.rights(bert.id).may_ask
    await ask(bert, anna, anna.invite(rights=Rights.WORK))
    assert anna.node.rights(bert.id) == Rights.WORK


async def test_who_only_asks_is_a_member(clock: MockClock, ground: Ground) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    anna.found()
    await ask(bert, anna, anna.invite(rights=Rights.parse("ask")))
    assert anna.node.keys()[bert.id] == bert.identity.public_key
    assert anna.node.rights(bert.id).names() == ["ask"]


async def test_another_member_passes_the_proof_on_to_the_issuer(clock: MockClock, ground: Ground) -> None:
    anna, bert, carl = await in_company(ground)
    admitted = await ask(carl, bert, anna.invite(rights=Rights.WORK))
    assert admitted.pool == anna.own_pool
    assert admitted.chain == tuple(anna.node.chain(carl.id))
    assert anna.node.rights(carl.id) == Rights.WORK


async def test_an_issuers_no_reaches_the_joiner_through_another_member(
    clock: MockClock, ground: Ground
) -> None:
    anna, bert, carl = await in_company(ground)
    with pytest.raises(AdmissionRefused, match="has expired"):
        await ask(carl, bert, anna.invite(expires=0))


async def test_without_the_issuer_its_invite_cannot_be_redeemed(clock: MockClock, ground: Ground) -> None:
    anna, bert, carl = await in_company(ground)
    nobody = Token(anna.own_pool, Identity.generate().id, b"s" * 16, ())
    with pytest.raises(AdmissionRefused, match="only the machine, its issuer, can redeem") as caught:
        await ask(carl, bert, nobody)
    assert "another owner" in caught.value.hint
    token = anna.invite()
    anna.admission_server.driver = None
    with pytest.raises(AdmissionRefused, match="has left the pool"):
        await ask(carl, bert, token)


async def test_an_issuer_of_another_wire_version_redeems_nothing_and_is_named_so(
    clock: MockClock, ground: Ground
) -> None:
    anna, bert, carl = await in_company(ground)
    anna.streams.here = ProgramVersion(Versions(5, 6))
    with pytest.raises(AdmissionRefused, match=r"anna, its issuer, .* speaks another wire version than bert"):
        await ask(carl, bert, anna.invite())


async def test_a_member_cannot_redeem_with_a_wrong_proof_or_without_arguments(
    clock: MockClock, ground: Ground
) -> None:
    anna, bert, carl = await in_company(ground)
    token = anna.invite(uses=None)
    right = {"invite": invite_id(token.secret), "key": carl.identity.public_key}
    for arguments in ({**right, "proof": proof(b"x" * 16, anna.own_pool, right["key"])}, right, {}):
        session = await bert.streams.open(anna.id, [anna.endpoint], StreamKind.REDEEM, arguments)
        assert "error" in await session.receive_message()
        await session.aclose()
    assert anna.node.chain(carl.id) == []


async def test_a_stranger_cannot_ask_for_a_redemption(clock: MockClock, ground: Ground) -> None:
    anna, _, carl = await in_company(ground)
    with pytest.raises(StreamRefused):
        await carl.streams.open_unproven(anna.endpoint, StreamKind.REDEEM, {})


async def test_each_refusal_is_counted_by_why_with_the_host_that_it_was_told(
    clock: MockClock, ground: Ground
) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    anna.found()
    once = anna.invite(uses=1)
    anna.invites.redeem(
        anna.own_pool, invite_id(once.secret), b"x" * 32, proof(once.secret, once.pool, b"x" * 32)
    )
    foreign = Token(anna.own_pool, anna.id, b"s" * 16, ())
    for token in (None, once, foreign, anna.invite(expires=0)):
        with pytest.raises(AdmissionRefused):
            await ask(bert, anna, token)
    await answer_to(bert, anna, {"signature": bytes(64)})
    await answer_to(bert, anna, "nonsense")
    assert anna.admission_server.drops.counts == {
        "no_invite": 1,
        "used_invite": 1,
        "foreign_invite": 1,
        "expired_invite": 1,
        "wrong_signature": 1,
        "malformed": 1,
    }
    assert set(anna.admission_server.drops.latest.values()) == {bert.endpoint.host}


# --- who was evicted


async def test_who_was_evicted_is_let_in_by_no_way_and_uses_no_invite_up(
    clock: MockClock, ground: Ground
) -> None:
    anna, bert, carl = [await ground.machine(name, "alice") for name in ("anna", "bert", "carl")]
    anna.found()
    await ask(bert, anna)
    assert anna.driver is not None
    anna.driver.command(anna.node.evict, bert.id)
    once = anna.invite(uses=1)
    for token in (None, once):
        with pytest.raises(AdmissionRefused, match="was evicted from the pool") as caught:
            await ask(bert, anna, token)
        assert "for ever" in caught.value.hint
    assert anna.node.chain(bert.id) == []
    await ask(carl, anna, once)


async def test_an_issuer_redeems_nothing_for_who_was_evicted_whoever_asks(
    clock: MockClock, ground: Ground
) -> None:
    anna, bert, carl = await in_company(ground)
    await ask(carl, anna, anna.invite())
    assert anna.driver is not None
    anna.driver.command(anna.node.evict, carl.id)
    token = anna.invite()
    key = carl.identity.public_key
    arguments = {"invite": invite_id(token.secret), "key": key, "proof": proof(token.secret, token.pool, key)}
    session = await bert.streams.open(anna.id, [anna.endpoint], StreamKind.REDEEM, arguments)
    assert "was evicted" in (await session.receive_message())["error"]
    await session.aclose()


# --- at the wrong time


async def test_a_machine_without_a_pool_says_that_it_searches_itself(
    clock: MockClock, ground: Ground
) -> None:
    anna, bert = await ground.machine("anna", "alice"), await ground.machine("bert", "alice")
    with pytest.raises(AdmissionRefused, match="joining a pool itself"):
        await ask(bert, anna)


async def test_a_founder_about_to_move_lets_nobody_in(clock: MockClock, ground: Ground) -> None:
    anna, bert = await ground.machine("anna", "alice"), await ground.machine("bert", "alice")
    anna.found()
    anna.admission_server.moving = True
    client = await AdmissionClient.connect(bert.streams, anna.endpoint)
    assert client.greeting.state == "moving"
    await client.aclose()
    with pytest.raises(AdmissionRefused, match="joining a pool itself"):
        await ask(bert, anna)


async def test_a_founder_that_starts_to_move_after_the_greeting_lets_nobody_in(
    clock: MockClock, ground: Ground
) -> None:
    anna, bert = await ground.machine("anna", "alice"), await ground.machine("bert", "alice")
    anna.found()
    client = await AdmissionClient.connect(bert.streams, anna.endpoint)
    assert client.greeting.state == "member"
    anna.admission_server.moving = True
    with pytest.raises(AdmissionRefused, match="joining a pool itself"):
        await client.ask(bert.identity, "bert", None)
    await client.aclose()
    assert anna.node.chain(bert.id) == []


async def test_a_founder_counts_as_alone_until_it_has_company(clock: MockClock, ground: Ground) -> None:
    anna, bert = await ground.machine("anna", "alice"), await ground.machine("bert", "alice")
    assert anna.admission_server.alone()
    anna.found()
    assert anna.admission_server.alone()
    bert.enter(await ask(bert, anna))
    await ground.acquaint(anna, bert)
    assert not anna.admission_server.alone()
    assert not anna.admission_server.greeting().alone


async def test_a_founder_that_has_something_to_serve_is_not_alone(clock: MockClock, ground: Ground) -> None:
    anna = await ground.machine("anna", "alice")
    anna.found()
    assert anna.driver is not None
    anna.driver.do(anna.node.deploy, Model("tiny.gguf", 8, b"r" * 32), 512, 1, True)
    assert not anna.admission_server.alone()


# --- dishonest applicants


async def test_a_key_that_is_not_the_visitors_is_refused(clock: MockClock, ground: Ground) -> None:
    anna, bert = await ground.machine("anna", "alice"), await ground.machine("bert", "alice")
    anna.found()
    stolen = Identity.generate().public_key
    reply = await answer_to(bert, anna, {"key": stolen})
    assert "signature is wrong" in reply["error"]
    assert len(anna.node.keys()) == 1


@pytest.mark.parametrize(
    "request_",
    [
        None,
        [],
        "let me in",
        {"key": 7},
        {"key": b"short"},
        {"signature": None},
        {"issuer": b"i" * 16},
        {"issuer": 7, "invite": b"", "proof": b""},
        {"issuer": b"i", "invite": b"n" * 8, "proof": b"p" * 32},
    ],
)
async def test_what_is_no_request_is_refused_and_the_desk_stays_open(
    clock: MockClock, ground: Ground, request_: Any
) -> None:
    anna, bert = await ground.machine("anna", "alice"), await ground.machine("bert", "alice")
    anna.found()
    assert "error" in await answer_to(bert, anna, request_)
    assert len(anna.node.keys()) == 1
    await ask(bert, anna)


async def test_a_visitor_that_says_nothing_is_sent_away(clock: MockClock, ground: Ground) -> None:
    anna, bert = await ground.machine("anna", "alice"), await ground.machine("bert", "alice")
    anna.found()
    client = await AdmissionClient.connect(bert.streams, anna.endpoint)
    with pytest.raises(MeshError), trio.fail_after(ANSWER_SECONDS + 1):
        await client.session.receive_message()
    await client.aclose()
