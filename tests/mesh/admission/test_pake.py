"""Two who know a code convince each other; nobody else convinces anybody, or learns it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.admission.codes import Code
from mesh.admission.pake import Pake, WrongCode
from mesh.wire.identity import PoolId

CODE, OTHER = Code(42, ("swift", "otter", "elm")), Code(42, ("swift", "otter", "fox"))
POOL, FOREIGN = PoolId(b"p" * 16), PoolId(b"q" * 16)
OWNER, JOINER, MALLORY = (bytes([number]) * 32 for number in (1, 2, 3))

ANY = st.binary(max_size=40) | st.binary(min_size=32, max_size=32).map(lambda point: b"B" + point)


def pair(
    *, code: Code = CODE, pool: PoolId = POOL, owner: bytes = OWNER, joiner: bytes = JOINER
) -> tuple[Pake, Pake]:
    """An owner with the right code, and a joiner that differs from what the owner thinks in what is given."""
    one, other = Pake("owner", CODE, POOL, OWNER, JOINER), Pake("joiner", code, pool, owner, joiner)
    one.agree(other.opening)
    other.agree(one.opening)
    return one, other


def test_with_the_same_code_each_side_believes_the_other() -> None:
    owner, joiner = pair()
    owner.check(joiner.proof("joiner"), "joiner")
    joiner.check(owner.proof("owner", [b"chain"]), "owner", [b"chain"])


@pytest.mark.parametrize(
    "difference",
    [{"code": OTHER}, {"pool": FOREIGN}, {"owner": MALLORY}, {"joiner": MALLORY}],
    ids=["code", "pool", "owner's key", "joiner's key"],
)
def test_any_difference_is_noticed_by_both(difference: dict[str, object]) -> None:
    owner, joiner = pair(**difference)  # type: ignore[arg-type]
    with pytest.raises(WrongCode):
        owner.check(joiner.proof("joiner"), "joiner")
    with pytest.raises(WrongCode):
        joiner.check(owner.proof("owner"), "owner")


def test_a_proof_is_for_one_side_and_for_what_was_said_with_it() -> None:
    owner, joiner = pair()
    with pytest.raises(WrongCode):
        owner.check(owner.proof("owner"), "joiner")
    with pytest.raises(WrongCode):
        joiner.check(owner.proof("owner", [b"chain"]), "owner", [b"another chain"])
    assert owner.proof("owner", [b"ab", b"c"]) != owner.proof("owner", [b"a", b"bc"])


def test_who_sits_in_between_without_the_code_convinces_neither() -> None:
    owner, joiner = (
        Pake("owner", CODE, POOL, OWNER, JOINER),
        Pake("joiner", CODE, POOL, OWNER, JOINER),
    )
    to_owner, to_joiner = (
        Pake("joiner", OTHER, POOL, OWNER, JOINER),
        Pake("owner", OTHER, POOL, OWNER, JOINER),
    )
    owner.agree(to_owner.opening)
    joiner.agree(to_joiner.opening)
    to_owner.agree(owner.opening)
    to_joiner.agree(joiner.opening)
    with pytest.raises(WrongCode):
        owner.check(to_owner.proof("joiner"), "joiner")
    with pytest.raises(WrongCode):
        joiner.check(to_joiner.proof("owner"), "owner")
    with pytest.raises(WrongCode):
        owner.check(joiner.proof("joiner"), "joiner")


def test_an_opening_that_is_reflected_is_refused() -> None:
    owner = Pake("owner", CODE, POOL, OWNER, JOINER)
    with pytest.raises(WrongCode):
        owner.agree(owner.opening)
    joiner = Pake("joiner", CODE, POOL, OWNER, JOINER)
    with pytest.raises(WrongCode):
        joiner.agree(b"A" + joiner.opening[1:])


@settings(max_examples=30)
@given(
    st.binary(max_size=40)
    | st.binary(min_size=33, max_size=33)
    | st.binary(min_size=32, max_size=32).map(lambda point: b"B" + point)
)
def test_any_other_opening_is_refused_or_leads_nowhere(opening: bytes) -> None:
    owner = Pake("owner", CODE, POOL, OWNER, JOINER)
    try:
        owner.agree(opening)
    except WrongCode:
        return
    with pytest.raises(WrongCode):
        owner.check(bytes(32), "joiner")


def test_the_code_is_in_nothing_that_travels() -> None:
    owner, joiner = pair()
    for sent in (owner.opening, joiner.opening, owner.proof("owner"), joiner.proof("joiner")):
        assert CODE.secret not in sent
        assert not any(word.encode() in sent for word in CODE.words)
