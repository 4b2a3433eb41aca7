"""Answers are counted from the request to the end, however they end."""

import pytest

from mesh.serving.answer_counter import Answers


def test_answers_in_progress_are_counted_and_the_last_one_rings_the_bell() -> None:
    rung: list[int] = []
    answers = Answers(lambda: rung.append(answers.count))
    with answers.giving():
        with answers.giving():
            assert answers.count == 2
        assert (answers.count, rung) == (1, [])
    assert (answers.count, rung) == (0, [0])


def test_an_answer_that_breaks_off_is_not_counted_on() -> None:
    answers = Answers(lambda: None)
    with pytest.raises(ValueError, match="broken"), answers.giving():
        raise ValueError("broken")
    assert answers.count == 0
