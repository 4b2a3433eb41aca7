import random

import pytest

from mesh.protocol.base.context import Context
from mesh.protocol.base.effects import Persist
from mesh.protocol.base.settings import Settings
from mesh.protocol.limits.term_limit import TermLimit
from mesh.wire.identity import NodeId
from simulations.signing import KeyedHash, verify

JUMP = Settings().max_term_jump
OTHERS = [NodeId(bytes([number]) * 16) for number in range(1, 6)]


@pytest.fixture
def context() -> Context:
    return Context(Settings(), KeyedHash(1), verify, random.Random(1))


@pytest.fixture
def terms(context: Context) -> TermLimit:
    """The limit of a member that knows five others and has heard them for long enough."""
    terms = TermLimit(context, set(OTHERS))
    terms.settled_at = 0.0
    return terms


def test_terms_only_rise_and_are_stored_when_they_do(context: Context, terms: TermLimit) -> None:
    for term in (3, 2, 3, 5):
        terms.raise_to(term)
    assert terms.highest == 5
    assert [effect.key for effect in context.effects if isinstance(effect, Persist)] == ["term", "term"]


def test_a_claim_within_one_jump_of_the_highest_term_is_admitted(terms: TermLimit) -> None:
    terms.raise_to(7)
    assert terms.admits(7 + JUMP, OTHERS[0])
    assert not terms.admits(8 + JUMP, OTHERS[0])


def test_a_claim_that_leaps_is_admitted_once_most_present_members_hand_such_over(terms: TermLimit) -> None:
    far = 10 * JUMP
    assert [terms.admits(far, id) for id in OTHERS[:2]] == [False, False]
    assert [terms.admits(far, id) for id in (OTHERS[0], "10.0.0.9", None)] == [False, False, False]
    assert terms.admits(far, OTHERS[2])


def test_no_leap_is_admitted_before_the_start_up_delay_is_over(context: Context, terms: TermLimit) -> None:
    terms.settled_at = 1.0
    assert not any(terms.admits(10 * JUMP, id) for id in OTHERS)
    context.now = 1.0
    assert terms.admits(10 * JUMP, OTHERS[0])


def test_the_limit_rises_towards_a_claim_by_one_jump_a_second(context: Context, terms: TermLimit) -> None:
    admitted = []
    for tenth in range(25):
        context.now = tenth / 10
        if terms.admits(3 * JUMP, OTHERS[0]):
            admitted.append(tenth)
    assert admitted[0] == 11
