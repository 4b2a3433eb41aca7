"""An answer that was streamed, put together as llama-server gives it to a client that wants no stream."""

import json
from typing import Any

import pytest

from mesh.gateway.resuming.reencoding import whole_answer
from mesh.gateway.resuming.request import CompletionRequest, read_request


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
