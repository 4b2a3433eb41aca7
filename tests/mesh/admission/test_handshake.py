"""The messages of admission, and how each side treats lies."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from mesh.admission.handshake import (
    MAX_PEERS,
    AdmissionClient,
    AdmissionRefused,
    Admitted,
    Greeting,
    admitted,
    answer,
    new_nonce,
    signed_request,
)
from mesh.net.session import Session, Unreachable
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError
from mesh.wire.facts import Voucher
from mesh.wire.identity import Identity, PoolId, node_id, pool_id, verify
from mesh.wire.rights import ALL_RIGHTS, Rights
from mesh.wire.signed_facts import sign
from tests.mesh.machines import Ground
from tests.mesh.net.conftest import Lan, lan

__all__ = ["lan"]

FOUNDER, JOINER, STRANGER = (Identity.from_seed(bytes([number]) * 32) for number in (1, 2, 3))
POOL = pool_id(FOUNDER.public_key)


def voucher(key: bytes, number: int, previous: bytes = bytes(16)) -> bytes:
    fact = Voucher(POOL, FOUNDER.id, number, previous, key, ALL_RIGHTS)
    return sign(fact, FOUNDER).data


def member_greeting(**changes: Any) -> Greeting:
    chain = (voucher(FOUNDER.public_key, 1),)
    greeting = Greeting("member", POOL, "swift-otter", "anna", True, new_nonce(), chain)
    return replace(greeting, **changes)


async def test_who_proves_the_key_of_its_chain_is_believed() -> None:
    greeting = member_greeting()
    assert Greeting.parse(greeting.message(), FOUNDER.public_key) == greeting


@pytest.mark.parametrize(
    ("greeting", "key"),
    [
        (member_greeting(), STRANGER.public_key),
        (member_greeting(pool=PoolId(b"q" * 16)), FOUNDER.public_key),
        (member_greeting(chain=()), FOUNDER.public_key),
        (member_greeting(chain=(voucher(JOINER.public_key, 2),)), JOINER.public_key),
        (member_greeting(state="searching", pool=POOL), STRANGER.public_key),
        (member_greeting(nonce=b"short"), FOUNDER.public_key),
    ],
    ids=["another key", "another pool", "no chain", "no founder", "another's pool", "short nonce"],
)
def test_who_lies_about_its_pool_is_found_out(greeting: Greeting, key: bytes) -> None:
    with pytest.raises(MeshError):
        Greeting.parse(greeting.message(), key)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.binary(max_size=20) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)


@given(
    JUNK
    | st.tuples(st.sampled_from(sorted(member_greeting().message())), JUNK).map(
        lambda change: {**member_greeting().message(), change[0]: change[1]}
    )
)
def test_any_greeting_is_read_or_refused(message: Any) -> None:
    try:
        greeting = Greeting.parse(message, FOUNDER.public_key)
    except MeshError:
        return
    assert len(greeting.name) <= 64
    assert len(greeting.pool_name) <= 64


@given(
    JUNK
    | st.fixed_dictionaries({"chain": st.lists(st.binary(max_size=200), max_size=3), "peers": JUNK})
    | st.fixed_dictionaries({"error": JUNK, "hint": JUNK})
)
def test_any_answer_that_is_no_voucher_is_an_error(message: Any) -> None:
    with pytest.raises(MeshError):
        admitted(message, POOL, JOINER.public_key)


@pytest.mark.parametrize(
    "message",
    [
        "an error, but no answer",
        ["error"],
        {"chain": [voucher(FOUNDER.public_key, 1)], "peers": [["10.0.0.1", float("inf")]]},
        {"chain": [voucher(FOUNDER.public_key, 1)], "peers": [["10.0.0.1", 0]]},
        {"chain": [voucher(FOUNDER.public_key, 1)], "peers": [["anna.example", 50052]]},
    ],
    ids=["text", "list", "endless port", "no port", "a name"],
)
def test_an_answer_that_makes_no_sense_is_an_error_for_people(message: Any) -> None:
    with pytest.raises(MeshError) as caught:
        admitted(message, POOL, FOUNDER.public_key)
    assert not isinstance(caught.value, AdmissionRefused)


def test_an_answer_for_somebody_else_is_refused() -> None:
    chain = [voucher(FOUNDER.public_key, 1)]
    with pytest.raises(MeshError, match="somebody else"):
        admitted(answer(chain, []), POOL, JOINER.public_key)


def test_a_refusal_is_told_with_its_hint_and_bounded() -> None:
    with pytest.raises(AdmissionRefused, match="no room") as caught:
        admitted({"error": "no room", "hint": "come later"}, POOL, JOINER.public_key)
    assert caught.value.hint == "come later"
    with pytest.raises(AdmissionRefused) as caught:
        admitted({"error": "x" * 100_000}, POOL, JOINER.public_key)
    assert len(caught.value.message) <= 500


def test_no_more_peers_than_the_bound_are_told() -> None:
    peers = [Endpoint("192.0.2.1", port) for port in range(1, 1000)]
    assert len(answer([], peers)["peers"]) == MAX_PEERS


def test_nonces_differ() -> None:
    assert len({new_nonce() for _ in range(100)}) == 100


# --- over real streams


async def test_a_door_shows_who_stands_behind_it(clock: MockClock, ground: Ground) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    client = await AdmissionClient.connect(bert.streams, anna.endpoint)
    assert (client.greeting.state, client.greeting.pool) == ("searching", anna.own_pool)
    await client.aclose()
    anna.found()
    client = await AdmissionClient.connect(bert.streams, anna.endpoint)
    assert (client.greeting.state, client.greeting.name, client.greeting.alone) == ("member", "anna", True)
    assert client.greeting.pool == anna.own_pool
    await client.aclose()


async def test_an_invited_machine_gets_a_chain_of_its_own_and_the_way_to_the_others(
    clock: MockClock, ground: Ground
) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    anna.found()
    client = await AdmissionClient.connect(bert.streams, anna.endpoint)
    result = await client.ask(bert.identity, "bert", anna.invite(rights=Rights.WORK))
    await client.aclose()
    assert result == Admitted(anna.own_pool, tuple(anna.node.chain(bert.id)), (anna.endpoint,))
    assert anna.node.rights(bert.id) == Rights.WORK
    bert.enter(result)
    assert bert.node.keys() == anna.node.keys()


async def test_a_token_of_another_pool_is_not_shown_at_the_door(clock: MockClock, ground: Ground) -> None:
    anna, bert, carl = [await ground.machine(name) for name in ("anna", "bert", "carl")]
    anna.found()
    carl.found()
    client = await AdmissionClient.connect(bert.streams, anna.endpoint)
    with pytest.raises(MeshError, match="another pool than the token"):
        await client.ask(bert.identity, "bert", carl.invite())
    await client.aclose()
    assert anna.node.chain(bert.id) == []


async def speak(lan: Lan, words: Callable[[Session], Awaitable[None]]) -> AdmissionClient:
    """Connect to a machine that sends other messages than a member would."""
    liar = await lan.host({"admit": words})
    client_streams = (await lan.host({})).streams
    return await AdmissionClient.connect(client_streams, liar.endpoint)


async def test_a_door_that_hangs_up_is_an_error(lan: Lan) -> None:
    async def hang_up(session: Session) -> None:
        await session.aclose()

    with pytest.raises(MeshError):
        await speak(lan, hang_up)


async def test_a_door_that_speaks_nonsense_is_an_error(lan: Lan) -> None:
    async def babble(session: Session) -> None:
        await session.send_message(["good", "evening"])

    with pytest.raises(MeshError, match="does not speak this protocol"):
        await speak(lan, babble)


async def test_where_nobody_listens_nobody_answers(clock: MockClock, ground: Ground) -> None:
    anna = await ground.machine("anna")
    with pytest.raises(Unreachable), trio.fail_after(5):
        await AdmissionClient.connect(anna.streams, Endpoint(anna.endpoint.host, 1))


def test_the_members_signature_is_bound_to_one_member_and_one_visit() -> None:
    nonce = new_nonce()
    signature = JOINER.sign(signed_request(FOUNDER.id, nonce))
    assert verify(JOINER.public_key, signed_request(FOUNDER.id, nonce), signature)
    for member, other in ((node_id(STRANGER.public_key), nonce), (FOUNDER.id, new_nonce())):
        assert not verify(JOINER.public_key, signed_request(member, other), signature)
