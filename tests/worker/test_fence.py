from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.fence import Fence

ALICE, BOB = b"a" * 16, b"b" * 16


@dataclass(frozen=True)
class Claim:
    author: bytes
    term: int


@pytest.fixture
def fence() -> Fence[str]:
    """Leased to Alice's claim of term 5."""
    fence: Fence[str] = Fence()
    fence.set_holder(Claim(ALICE, 5))
    return fence


def test_nothing_passes_before_there_is_a_holder() -> None:
    fence: Fence[str] = Fence()
    assert not fence.admits(ALICE, 0)
    assert fence.refusal(ALICE, 5) == "this worker is leased to nobody"


def test_a_stream_of_the_holders_claim_passes(fence: Fence[str]) -> None:
    assert fence.refusal(ALICE, 5) is None
    assert fence.admit("one", ALICE, 5) == []
    assert fence.streams == ("one",)


@pytest.mark.parametrize(("author", "term"), [(BOB, 5), (ALICE, 4), (ALICE, 6), (b"", 5), (ALICE, -1)])
def test_a_stream_of_any_other_claim_is_refused_with_the_leased_term(
    fence: Fence[str], author: bytes, term: int
) -> None:
    assert not fence.admits(author, term)
    assert fence.refusal(author, term) == "this worker is leased to another claim, of term 5"
    with pytest.raises(ValueError, match="does not let"):
        fence.admit("one", author, term)
    assert fence.streams == ()


@pytest.mark.parametrize("claim", [None, Claim(BOB, 6), Claim(BOB, 5)])
def test_all_streams_are_cut_in_order_when_the_holder_changes(fence: Fence[str], claim: Claim | None) -> None:
    for stream in ("one", "two", "three"):
        fence.admit(stream, ALICE, 5)
    assert fence.set_holder(claim) == ["one", "two", "three"]
    assert fence.streams == ()


def test_a_holder_that_follows_itself_by_a_higher_claim_keeps_its_streams(fence: Fence[str]) -> None:
    fence.admit("one", ALICE, 5)
    assert fence.set_holder(Claim(ALICE, 9)) == []
    assert fence.admit("two", ALICE, 5) == []
    assert fence.streams == ("one", "two")


def test_a_stream_of_a_later_term_cuts_and_bars_those_of_earlier_terms(fence: Fence[str]) -> None:
    fence.admit("one", ALICE, 5)
    fence.set_holder(Claim(ALICE, 9))
    assert fence.admit("two", ALICE, 8) == ["one"]
    assert fence.streams == ("two",)
    assert [term for term in range(12) if fence.admits(ALICE, term)] == [8, 9]


def test_a_holder_that_lost_its_lease_in_between_begins_anew(fence: Fence[str]) -> None:
    fence.set_holder(None)
    fence.set_holder(Claim(ALICE, 7))
    assert [term for term in range(12) if fence.admits(ALICE, term)] == [7]


def test_a_stream_that_ended_is_not_cut_later(fence: Fence[str]) -> None:
    fence.admit("one", ALICE, 5)
    fence.admit("two", ALICE, 5)
    fence.remove("one")
    fence.remove("one")
    assert fence.set_holder(None) == ["two"]


@dataclass
class Oracle:
    """The rule by history: the claims of the present holder without a break, and the terms it opened."""

    claims: list[Claim] = field(default_factory=list)
    opened: list[int] = field(default_factory=list)
    streams: list[tuple[int, bytes, int]] = field(default_factory=list)

    def passes(self, author: bytes, term: int) -> bool:
        if not self.claims or author != self.claims[-1].author:
            return False
        return max([self.claims[0].term, *self.opened]) <= term <= self.claims[-1].term

    def set_holder(self, claim: Claim | None) -> list[int]:
        if claim is None or not self.claims or claim.author != self.claims[-1].author:
            self.claims, self.opened = [], []
        if claim is not None:
            self.claims.append(claim)
        return self._cut()

    def admit(self, stream: int, author: bytes, term: int) -> list[int]:
        self.opened.append(term)
        cut = self._cut()
        self.streams.append((stream, author, term))
        return cut

    def _cut(self) -> list[int]:
        cut = [one for one in self.streams if not self.passes(*one[1:])]
        self.streams = [one for one in self.streams if self.passes(*one[1:])]
        return [stream for stream, _, _ in cut]


authors, terms = st.sampled_from([ALICE, BOB]), st.integers(0, 5)
claims = st.none() | st.builds(Claim, authors, terms)
streams = st.tuples(authors, terms)
ends = st.integers(0, 40)


@given(st.lists(claims | streams | ends, max_size=40))
def test_only_streams_of_the_holder_in_its_range_of_terms_ever_pass(
    steps: list[Claim | tuple[bytes, int] | int | None],
) -> None:
    fence: Fence[int] = Fence()
    oracle = Oracle()
    for number, step in enumerate(steps):
        if isinstance(step, int):
            fence.remove(step)
            oracle.streams = [one for one in oracle.streams if one[0] != step]
        elif isinstance(step, tuple):
            assert (fence.refusal(*step) is None) == oracle.passes(*step)
            if fence.admits(*step):
                assert fence.admit(number, *step) == oracle.admit(number, *step)
        else:
            assert fence.set_holder(step) == oracle.set_holder(step)
        assert list(fence.streams) == [stream for stream, _, _ in oracle.streams]
