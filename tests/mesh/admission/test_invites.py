"""Tokens survive a command line and nothing else; an invite admits its machines, until it ends."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.admission.invites import MAX_HINTS, MAX_OPEN_INVITES, Invites, Token, invite_id, proof
from mesh.runtime.state import StateDir
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError
from mesh.wire.identity import Identity, NodeId, PoolId, node_id
from mesh.wire.rights import ALL_RIGHTS, Rights

POOL, OTHER = PoolId(b"p" * 16), PoolId(b"q" * 16)
ISSUER = NodeId(b"i" * 16)
ANNA, BERT, CARL = (bytes([number]) * 32 for number in (1, 2, 3))
HINTS = (Endpoint("192.168.1.5", 50052), Endpoint("fd7a::1", 50053))
SECRETS = st.binary(min_size=16, max_size=16)


class Clock:
    """A wall clock that the test turns."""

    def __init__(self) -> None:
        self.time = 1_000_000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    return StateDir(tmp_path)


@pytest.fixture
def invites(state: StateDir, clock: Clock) -> Invites:
    return Invites(state, clock)


def create(
    invites: Invites, uses: int | None = 1, expires: float = 60.0, rights: Rights = Rights.WORK
) -> Token:
    return invites.create(POOL, ISSUER, HINTS, rights, expires, uses)


def redeem(invites: Invites, token: Token, key: bytes, pool: PoolId = POOL) -> Rights:
    return invites.redeem(pool, invite_id(token.secret), key, proof(token.secret, pool, key))


@given(pool=SECRETS, issuer=SECRETS, secret=SECRETS, count=st.integers(0, 2))
def test_a_token_is_read_as_it_was_written(pool: bytes, issuer: bytes, secret: bytes, count: int) -> None:
    token = Token(PoolId(pool), NodeId(issuer), secret, HINTS[:count])
    assert Token.parse(token.text()) == token
    assert Token.parse(f"  {token.text()}\n") == token


def test_a_token_needs_no_quotes_in_a_shell_and_is_short() -> None:
    text = Token(POOL, ISSUER, b"s" * 16, HINTS).text()
    assert all(character.isalnum() or character in ":_-" for character in text)
    assert len(text) < 140


def test_only_the_first_hints_go_into_a_token() -> None:
    many = tuple(Endpoint(f"10.0.0.{number}", 50052) for number in range(1, 9))
    assert Token.parse(Token(POOL, ISSUER, b"s" * 16, many).text()).hints == many[:MAX_HINTS]


@given(st.data())
def test_a_mistyped_character_is_noticed(data: st.DataObject) -> None:
    text = Token(POOL, ISSUER, b"s" * 16, HINTS).text()
    at = data.draw(st.integers(0, len(text) - 2), label="position")
    other = data.draw(st.sampled_from("abcXYZ019_-~"), label="typed instead")
    if text[at] != other:
        with pytest.raises(MeshError, match="not a whole mesh token"):
            Token.parse(text[:at] + other + text[at + 1 :])


@given(st.integers(0, 100))
def test_a_token_that_was_cut_off_is_refused(length: int) -> None:
    text = Token(POOL, ISSUER, b"s" * 16, HINTS).text()
    assert len(text) > 101
    with pytest.raises(MeshError, match="not a whole mesh token"):
        Token.parse(text[:length])


@given(st.one_of(st.text(), st.binary().map(lambda content: "mesh1:" + content.hex())))
def test_whatever_else_is_typed_is_an_error_for_a_person(text: str) -> None:
    with pytest.raises(MeshError, match="not a whole mesh token"):
        Token.parse(text)


def test_an_invite_grants_the_rights_it_was_made_with(invites: Invites) -> None:
    token = create(invites, rights=Rights.WORK | Rights.LEAD)
    assert redeem(invites, token, ANNA) == Rights.WORK | Rights.LEAD


def test_a_wrong_secret_is_refused(invites: Invites) -> None:
    token = create(invites)
    with pytest.raises(MeshError, match="secret is wrong"):
        invites.redeem(POOL, invite_id(token.secret), ANNA, proof(b"x" * 16, POOL, ANNA))


def test_a_proof_that_was_overheard_serves_no_other_key(invites: Invites) -> None:
    token = create(invites, uses=None)
    overheard = proof(token.secret, POOL, ANNA)
    with pytest.raises(MeshError, match="secret is wrong"):
        invites.redeem(POOL, invite_id(token.secret), BERT, overheard)


def test_an_invite_is_for_one_pool(invites: Invites) -> None:
    with pytest.raises(MeshError, match="nobody here issued"):
        redeem(invites, create(invites), ANNA, pool=OTHER)


def test_an_invite_that_nobody_issued_is_refused(invites: Invites) -> None:
    with pytest.raises(MeshError, match="nobody here issued"):
        redeem(invites, Token(POOL, ISSUER, b"s" * 16, ()), ANNA)


def test_an_expired_invite_is_refused_as_such(invites: Invites, clock: Clock) -> None:
    token = create(invites, expires=60)
    clock.time += 60
    with pytest.raises(MeshError, match="has expired"):
        redeem(invites, token, ANNA)


def test_an_invite_that_expired_long_ago_is_forgotten(
    invites: Invites, clock: Clock, state: StateDir
) -> None:
    create(invites, expires=60)
    clock.time += 60 + 86400
    kept = create(invites)
    assert list(state.load("invites")) == [invite_id(kept.secret).hex()]


def test_an_invite_lets_in_as_many_machines_as_it_was_made_for(invites: Invites) -> None:
    token = create(invites, uses=2)
    redeem(invites, token, ANNA)
    redeem(invites, token, BERT)
    with pytest.raises(MeshError, match="used up"):
        redeem(invites, token, CARL)


def test_a_machine_that_asks_twice_counts_once(invites: Invites) -> None:
    token = create(invites, uses=1)
    assert redeem(invites, token, ANNA) == redeem(invites, token, ANNA)


def test_a_failed_attempt_costs_no_use(invites: Invites) -> None:
    token = create(invites, uses=1)
    with pytest.raises(MeshError):
        invites.redeem(POOL, invite_id(token.secret), BERT, b"?" * 32)
    redeem(invites, token, ANNA)


def test_the_invites_that_an_evicted_machine_used_let_nobody_in_any_more(
    invites: Invites, state: StateDir, clock: Clock
) -> None:
    first, other = create(invites, uses=None, rights=ALL_RIGHTS), create(invites, uses=5)
    redeem(invites, first, ANNA)
    redeem(invites, first, BERT)
    redeem(invites, other, BERT)
    invites.close_for(node_id(ANNA))
    for here in (invites, Invites(state, clock)):
        for key in (CARL, BERT):
            with pytest.raises(MeshError, match="was closed when a machine that had used it was evicted"):
                redeem(here, first, key)
        assert here.unlimited(POOL, ISSUER, HINTS) is None
    redeem(invites, other, CARL)


def test_uses_are_counted_over_a_restart(invites: Invites, state: StateDir, clock: Clock) -> None:
    token = create(invites, uses=1)
    redeem(invites, token, ANNA)
    restarted = Invites(state, clock)
    with pytest.raises(MeshError, match="used up"):
        redeem(restarted, token, BERT)
    redeem(restarted, token, ANNA)


def test_the_founders_invite_is_found_again_until_it_expires(
    invites: Invites, state: StateDir, clock: Clock
) -> None:
    create(invites, uses=5)
    assert invites.unlimited(POOL, ISSUER, HINTS) is None
    token = create(invites, uses=None, rights=ALL_RIGHTS)
    assert Invites(state, clock).unlimited(POOL, ISSUER, HINTS) == token
    assert invites.unlimited(OTHER, ISSUER, HINTS) is None
    clock.time += 60
    assert invites.unlimited(POOL, ISSUER, HINTS) is None


def test_no_more_invites_than_the_bound_are_open(invites: Invites, clock: Clock) -> None:
    for _ in range(MAX_OPEN_INVITES):
        create(invites)
    with pytest.raises(MeshError, match="invites are open"):
        create(invites)
    clock.time += 60 + 86400
    create(invites)


def test_the_name_of_an_invite_and_a_proof_do_not_hold_the_secret() -> None:
    secret = Identity.generate().seed[:16]
    assert secret not in invite_id(secret) + proof(secret, POOL, ANNA)
