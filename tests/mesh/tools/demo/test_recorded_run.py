"""A run tells what came of it."""

from dataclasses import replace

import pytest

from mesh.tools.demo.recorded_run import AnswerPiece
from tests.mesh.tools.demo.runs import DISTURBED, RUN, WORDS


def test_the_kill_divides_the_answer() -> None:
    assert (RUN.said_before, RUN.said_after) == (
        "A good team is built",
        WORDS.removeprefix("A good team is built"),
    )


def test_the_pause_is_the_longest_silence_after_the_kill() -> None:
    # What was on its way when the leader died still comes at once.
    assert RUN.pause == pytest.approx((0.6, 1.95))
    assert RUN.pause_seconds == pytest.approx(1.35)


def test_without_a_word_after_the_kill_there_was_no_pause() -> None:
    assert replace(RUN, disturbed=DISTURBED[:5]).pause_seconds == 0.0


def test_an_answer_is_identical_to_the_last_character() -> None:
    assert RUN.identical
    assert RUN.same_characters == len(WORDS)
    shorter = replace(RUN, disturbed=DISTURBED[:-1])
    assert (shorter.identical, shorter.same_characters) == (False, len(WORDS) - len(" go."))
    other = replace(RUN, disturbed=[*DISTURBED[:-1], AnswerPiece(9.0, " stay.")])
    assert (other.identical, other.same_characters) == (False, len(WORDS) - len("go."))


def test_the_json_has_the_keys_that_scripts_read() -> None:
    assert RUN.as_json() == {
        "text": WORDS,
        "pause_seconds": 1.35,
        "identical": True,
        "model": "SmolLM2",
        "first_leader": "alpha",
        "second_leader": "charlie",
        "killed_after_characters": 20,
        "timings_seconds": {"join": 2.346, "serve": 1.5},
    }
