"""What all kinds of facts have: a number of their own, a version, a place, and room for what comes later."""

import dataclasses
import typing

import pytest

from mesh.wire import codec
from mesh.wire.facts import FIRST_LATER_KIND, NOBODY, Claim, Fact, LaterFact, PoolEngine, Resignation, Voucher
from mesh.wire.signed_facts import GROWING_FORM, sign
from tests.mesh.wire.test_signed_facts import FACTS, ME, OTHER, POOL, SIGNER

KINDS = [kind for kind in typing.get_args(Fact) if kind is not LaterFact]


def test_every_kind_of_fact_has_a_number_of_its_own_and_a_form() -> None:
    numbers = [kind.kind for kind in KINDS]
    assert numbers == list(range(1, len(KINDS) + 1)) == list(GROWING_FORM)


@pytest.mark.parametrize("kind", KINDS)
def test_every_fact_keeps_what_later_versions_append(kind: type[typing.Any]) -> None:
    last = dataclasses.fields(kind)[-1]
    assert (last.name, last.default) == (codec.UNKNOWN, b"")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.kind >= FIRST_LATER_KIND])
def test_every_fact_from_kind_10_on_begins_as_members_merge_it(kind: type[typing.Any]) -> None:
    head = [field.name for field in dataclasses.fields(kind)][:4]
    assert head == [field.name for field in dataclasses.fields(LaterFact)][1:5]


@pytest.mark.parametrize(
    "fact", [*FACTS, PoolEngine(POOL, ME, (1,), b"", "b1", b"")], ids=lambda fact: fact.kind
)
def test_a_version_is_of_few_numbers_and_a_place_of_bytes(fact: Fact) -> None:
    assert 1 <= len(fact.version) <= 3
    assert all(type(number) is int for number in fact.version)
    assert isinstance(fact.place, bytes)


def test_what_a_voucher_gives_is_in_its_place_since_acts_never_replace_each_other() -> None:
    voucher = next(fact for fact in FACTS if isinstance(fact, Voucher))
    other = dataclasses.replace(voucher, key=b"k" * 32)
    assert voucher.version == other.version
    assert sign(voucher, SIGNER).key != sign(other, SIGNER).key


def test_claims_compare_by_term_then_rank_then_id() -> None:
    claims = [Claim(POOL, ME, 2, 1), Claim(POOL, OTHER, 1, 9), Claim(POOL, ME, 1, 9), Claim(POOL, ME, 1, 10)]
    ordered = sorted(claims, key=lambda claim: claim.order)
    assert [(claim.term, claim.rank) for claim in ordered] == [(1, 9), (1, 9), (1, 10), (2, 1)]
    assert ordered[0].author == min(ME, OTHER)


def test_a_resignation_that_names_a_successor_comes_after_one_that_does_not() -> None:
    assert Resignation(POOL, ME, 5, NOBODY).version < Resignation(POOL, ME, 5, OTHER).version
