import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.cli.chat.answer_events import (
    BROKEN_OFF,
    MOST_TOKENS,
    AnswerEvent,
    AnswerFinished,
    AnswerReader,
    AnswerText,
    AnswerThought,
    AskFailed,
    LeaderAwaited,
    PromptRead,
    TokensCounted,
    read_error,
)
from tests.mesh.cli.chat.scripted_gateway import DONE, chunk, event, usage

STREAM = b"".join(
    [
        event({"choices": [{"delta": {"role": "assistant", "content": None}}]}),
        event({"choices": [], "prompt_progress": {"total": 200, "cache": 0, "processed": 50}}),
        chunk(thought="hm"),
        chunk("日本"),
        b": waiting for a leader\n\n",
        b"data: " + b'{"choices": [{"delta": {"content": "go on"}}]}' + b"\r\n\r\n",
        chunk(finish="stop"),
        usage(7),
        DONE,
        chunk("after the end"),
    ]
)
READ: list[AnswerEvent] = [
    PromptRead(0.25),
    AnswerThought("hm"),
    AnswerText("日本"),
    LeaderAwaited(),
    AnswerText("go on"),
    AnswerFinished("stop"),
    TokensCounted(7),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12).map(sorted))
def test_a_stream_is_read_alike_wherever_it_is_cut(cuts: list[int]) -> None:
    reader = AnswerReader()
    ends = [*cuts, len(STREAM)]
    pieces = [STREAM[begin:end] for begin, end in zip([0, *cuts], ends, strict=True)]
    assert [one for piece in pieces for one in reader.feed(piece)] == READ
    assert reader.ended


@pytest.mark.parametrize(("told", "counted"), [(10**400, MOST_TOKENS), (-5, 0)])
def test_a_count_that_cannot_be_is_brought_within_bounds(told: int, counted: int) -> None:
    assert AnswerReader().feed(usage(told)) == [TokensCounted(counted)]


def test_an_error_within_the_stream_ends_it() -> None:
    reader = AnswerReader()
    failed = {"error": {"message": "the leader was lost", "code": "upstream_lost"}}
    assert reader.feed(event(failed) + chunk("more")) == [
        AskFailed(0, "upstream_lost", "the leader was lost")
    ]
    assert reader.ended


@pytest.mark.parametrize(
    "data",
    [b"data: {", b"data: [1]", b'data: {"choices": [1]}', b'data: {"usage": [1]}', b"data: " + b"[" * 9999],
)
def test_what_makes_no_sense_ends_the_answer_in_words(data: bytes) -> None:
    (failed,) = AnswerReader().feed(data + b"\n\n")
    assert isinstance(failed, AskFailed)
    assert failed.code == BROKEN_OFF


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"error": {"message": "no"}}, "no"),
        ({"error": "no"}, "no"),
        ("a page of a proxy", "a page of a proxy"),
        ({}, "the gateway answered with status 502 and no reason"),
        (json.loads("null"), "the gateway answered with status 502 and no reason"),
    ],
)
def test_an_error_of_any_shape_has_a_reason(value: object, message: str) -> None:
    assert read_error(502, value).message == message
