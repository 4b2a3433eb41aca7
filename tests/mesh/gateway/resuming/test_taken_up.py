import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.gateway.resuming.taken_up import Ending, TakenUp, read_taken_up, taken_up_event

ENDINGS: list[Ending] = ["", "limit", "full", "eos", "word"]


@given(st.booleans(), st.integers(0, 10**6), st.sampled_from(ENDINGS), st.text(), st.text())
def test_what_the_leader_says_is_what_the_gateway_reads(
    by_text: bool, prompt: int, ending: Ending, last: str, kept: str
) -> None:
    said = TakenUp(by_text, prompt, ending, (last, kept))
    assert read_taken_up(taken_up_event(said)) == said


@pytest.mark.parametrize("event", [b": wait\n\n", b'data: {"content": "x"}\n\n', b"data: [DONE]\n\n"])
def test_other_events_are_none_of_it(event: bytes) -> None:
    assert read_taken_up(event) is None


GOOD = TakenUp(False, 3, "", ("a", "a"))._asdict()


@pytest.mark.parametrize(
    "more",
    [
        {"by_text": 1},
        {"prompt_tokens": -1},
        {"prompt_tokens": 1 << 40},
        {"prompt_tokens": "3"},
        {"ending": "soon"},
        {"ending": []},
        {"last": ["a"]},
        {"last": [1, "a"]},
    ],
)
def test_a_word_that_makes_no_sense_is_not_believed(more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="nothing that makes sense"):
        read_taken_up(b"event: continued\ndata: " + json.dumps({**GOOD, **more}).encode() + b"\n\n")
    with pytest.raises(ValueError, match="nothing that makes sense"):
        read_taken_up(b"event: continued\ndata: 7\n\n")
