"""What tailscaled said of itself counts for the process that said it, and not for long."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.gateway.forwarding import (
    WORD_SECONDS,
    Heard,
    Mode,
    hear,
    refused_tailnet,
    refused_unknown,
)

MODES = st.sampled_from(Mode)
DAEMONS = st.integers(0, 2)
TIMES = st.floats(0, 100)


@given(st.lists(st.tuples(DAEMONS, MODES), min_size=1))
def test_the_last_word_of_the_same_process_counts_while_it_is_silent(said: list[tuple[int, Mode]]) -> None:
    heard: Heard | None = None
    for number, (daemon, mode) in enumerate(said):
        heard = hear(heard, daemon, mode, float(number))
    assert heard is not None
    daemon, mode = said[-1]
    if mode is Mode.SILENT:
        for one, earlier in reversed(said):
            if one != daemon or earlier is Mode.ABSENT:
                break
            if earlier is not Mode.SILENT:
                mode = earlier
                break
    assert heard == Heard(daemon, mode, float(len(said) - 1))


@given(DAEMONS, DAEMONS, MODES, TIMES, TIMES)
def test_a_word_counts_some_seconds_for_one_process(
    daemon: int, other: int, mode: Mode, at: float, later: float
) -> None:
    counts = Heard(daemon, mode, at).is_current(other, at + later)
    if mode is Mode.ABSENT or other != daemon or later > WORD_SECONDS + 0.1:
        assert not counts
    elif later < WORD_SECONDS - 0.1:
        assert counts


@pytest.mark.parametrize("said", [Mode.INTERFACE, Mode.USERSPACE])
def test_a_process_that_says_otherwise_is_believed(said: Mode) -> None:
    assert hear(Heard("one", Mode.USERSPACE, 1), "one", said, 2).mode is said


def test_a_new_process_that_says_nothing_is_not_taken_for_the_old_one() -> None:
    assert hear(Heard("one", Mode.INTERFACE, 1), "another", Mode.SILENT, 2).mode is Mode.SILENT


def test_a_refusal_says_what_can_be_done() -> None:
    stranger, unknown = refused_tailnet(), refused_unknown()
    assert (stranger.status, unknown.status) == (403, 503)
    assert "--listen" in json.loads(stranger.content)["error"]["message"]
    assert "mesh doctor" in json.loads(unknown.content)["error"]["message"]
