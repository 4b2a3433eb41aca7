"""The events of a continuation, and a stream put together as llama-server answers without a stream."""

import json
from typing import Any

import pytest

from mesh.gateway.resuming.dialects import StreamPiece, read_piece
from mesh.gateway.resuming.reencoding import Continued, whole_answer
from mesh.gateway.resuming.request import CompletionRequest, read_request
from mesh.gateway.resuming.taken_up import Ending, TakenUp


def _request(path: str, **body: Any) -> CompletionRequest:
    asked = read_request(path, json.dumps(body).encode())
    assert asked is not None
    return asked


def test_a_native_answer_has_the_whole_text_and_says_that_it_was_not_streamed() -> None:
    last = {"content": "", "stop": True, "generation_settings": {"stream": True, "n_predict": 9}}
    whole = whole_answer(_request("/completion", prompt="x"), "a text", "", last, "stop")
    assert whole == {
        "content": "a text",
        "stop": True,
        "generation_settings": {"stream": False, "n_predict": 9},
    }


def test_a_completion_keeps_the_reason_of_its_last_event() -> None:
    last = {"id": "x", "choices": [{"text": "", "index": 0, "finish_reason": "length"}]}
    whole = whole_answer(_request("/v1/completions", prompt="x"), "a text", "", last, "stop")
    assert whole == {"id": "x", "choices": [{"text": "a text", "index": 0, "finish_reason": "length"}]}


@pytest.mark.parametrize("reasoning", ["", "a thought"])
def test_a_chat_has_one_message_with_its_thoughts_if_there_are_any(reasoning: str) -> None:
    asked = _request("/v1/chat/completions", messages=[{"role": "user", "content": "Hi"}])
    last = {"id": "x", "object": "chat.completion.chunk", "choices": [], "usage": {"total_tokens": 3}}
    whole = whole_answer(asked, "a text", reasoning, last, "length")
    message = {"role": "assistant", "content": "a text"}
    if reasoning:
        message["reasoning_content"] = reasoning
    assert whole == {
        "id": "x",
        "object": "chat.completion",
        "choices": [{"finish_reason": "length", "index": 0, "message": message}],
        "usage": {"total_tokens": 3},
    }


FINAL = {
    "index": 0, "content": "", "tokens": [], "stop": True, "tokens_predicted": 1, "tokens_evaluated": 9,
    "generation_settings": {"max_tokens": 0, "n_predict": 0}, "prompt": "Say it: One tw", "tokens_cached": 9,
    "has_new_line": True, "stop_type": "limit", "stopping_word": "", "truncated": False,
}  # fmt: skip
"""What llama-server ends with where one token more was made, after a prompt that holds the answer so far."""


@pytest.mark.parametrize(
    ("ending", "stop_type", "truncated"),
    [("eos", "eos", False), ("word", "word", False), ("limit", "limit", False), ("full", "limit", True)],
)
def test_the_end_of_an_ended_native_answer_tells_nothing_of_the_token_made_beyond_it(
    ending: Ending, stop_type: str, truncated: bool
) -> None:
    asked = _request("/completion", prompt="Say it: ", n_predict=40)
    written = Continued(asked, {}, "One two", 5, TakenUp(False, 3, ending, (" two", " tw")))
    beyond = {**FINAL, "stop": False, "content": "x", "tokens": [7]}
    assert written.write(beyond, read_piece(written.dialect, beyond)) == []
    assert written.write(FINAL, read_piece(written.dialect, FINAL)) == [
        {
            **FINAL,
            "tokens_evaluated": 3,
            "tokens_predicted": 5,
            "generation_settings": {"max_tokens": 40, "n_predict": 40},
            "prompt": "Say it: ",
            "has_new_line": False,
            "stop_type": stop_type,
            "truncated": truncated,
            "tokens_cached": 7,
        }
    ]


SHARED = {"id": "chatcmpl-1", "created": 5, "model": "fake"}
USAGE = {"completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 9}}


def _chat(**body: Any) -> CompletionRequest:
    return _request("/v1/chat/completions", messages=[], stream=True, **body)


def test_the_text_of_a_continued_chat_comes_as_chunks_of_the_same_answer() -> None:
    written = Continued(_chat(), SHARED, "One", 1, TakenUp(False, 3, "", ("One", "One")))
    choice = {"finish_reason": None, "index": 0, "delta": {"content": " two"}}
    chunk = {"choices": [choice], **SHARED, "object": "chat.completion.chunk"}
    assert written.write({}, StreamPiece(text=" two")) == [chunk]
    assert written.write({}, StreamPiece()) == []


@pytest.mark.parametrize(("ending", "finish", "made"), [("", "stop", 5), ("limit", "length", 1)])
def test_a_continued_chat_ends_with_its_own_reason_and_the_usage_of_all_its_leaders(
    ending: Ending, finish: str, made: int
) -> None:
    wanted = _chat(stream_options={"include_usage": True})
    written = Continued(wanted, SHARED, "One", 1, TakenUp(False, 3, ending, ("One", "One")))
    end, counted = written.write({"usage": USAGE, "timings": {"predicted_n": 4}}, StreamPiece(finish="stop"))
    assert end["choices"] == [{"finish_reason": finish, "index": 0, "delta": {}}]
    assert (counted["choices"], counted["timings"]) == ([], {"predicted_n": 4})
    assert counted["usage"] == {
        "completion_tokens": made,
        "prompt_tokens": 3,
        "total_tokens": 3 + made,
        "prompt_tokens_details": {"cached_tokens": 3},
    }


def test_a_continued_chat_whose_client_wants_no_usage_gets_none() -> None:
    written = Continued(_chat(), SHARED, "One", 1, TakenUp(False, 3, "", ("One", "One")))
    [end] = written.write({"usage": USAGE}, StreamPiece(finish="stop"))
    assert "usage" not in end
