import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.gateway.resuming.request import CompletionRequest, Dialect, one_prompt, read_request

MESSAGES = [{"role": "user", "content": "Hi"}]


def read(path: str = "/completion", **body: Any) -> CompletionRequest:
    request = read_request(path, json.dumps(body).encode())
    assert request is not None
    return request


@pytest.mark.parametrize(
    ("path", "dialect", "body"),
    [
        ("/completion", Dialect.NATIVE, {"prompt": "x"}),
        ("/completions", Dialect.NATIVE, {"prompt": [1, 2]}),
        ("/v1/completions", Dialect.TEXT, {"prompt": ["x", 7, "y"], "stream": True, "best_of": 1}),
        ("/v1/completions", Dialect.TEXT, {"prompt": ["x"], "logprobs": None, "n": 1, "seed": -1}),
        ("/v1/chat/completions", Dialect.CHAT, {"messages": MESSAGES, "tools": [], "logprobs": False}),
        ("/chat/completions", Dialect.CHAT, {"messages": MESSAGES, "response_format": {"type": "text"}}),
        ("/v1/chat/completions", Dialect.CHAT, {"messages": MESSAGES, "seed": 3, "temperature": 0}),
        (
            "/v1/chat/completions",
            Dialect.CHAT,
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]},
        ),
    ],
)
def test_plain_answers_can_be_continued(path: str, dialect: Dialect, body: dict[str, Any]) -> None:
    request = read(path, **body)
    assert (request.dialect, request.why_not_resumable) == (dialect, "")


@pytest.mark.parametrize(
    ("more", "why_not_resumable"),
    [
        ({"tools": [{"type": "function"}]}, "tool calls"),
        ({"grammar": "root ::= x"}, "a grammar"),
        ({"json_schema": {"type": "object"}}, "a grammar"),
        ({"response_format": {"type": "json_object"}}, "a grammar"),
        ({"response_format": "json"}, "a grammar"),
        ({"logprobs": True}, "log probabilities"),
        ({"n_probs": 3}, "log probabilities"),
        ({"n": 2}, "several choices"),
        ({"n_cmpl": 2}, "several choices"),
        ({"seed": 3}, "a seed"),
        ({"seed": 3, "temperature": 0.1}, "a seed"),
        ({"t_max_predict_ms": 100}, "a limit on time"),
        ({"prompt": ["x", "y"]}, "media, or several prompts"),
        ({"prompt": [[1], [2]]}, "media, or several prompts"),
        ({"prompt": {"prompt_string": "x", "multimodal_data": []}}, "media, or several prompts"),
        ({"return_tokens": True}, "the ids of all tokens"),
    ],
)
def test_what_keeps_more_state_than_tokens_cannot(more: dict[str, Any], why_not_resumable: str) -> None:
    assert read(**{"prompt": "x", **more}).why_not_resumable == why_not_resumable


@pytest.mark.parametrize("content", [[{"type": "image_url", "image_url": {"url": "data:..."}}], ["Hi"], 7])
def test_what_is_no_text_cannot_be_sent_again_as_tokens(content: Any) -> None:
    request = read("/v1/chat/completions", messages=[{"role": "user", "content": content}])
    assert request.why_not_resumable == "media, or several prompts"


def test_messages_that_are_no_list_are_no_text() -> None:
    assert (
        read("/v1/chat/completions", messages={"role": "user"}).why_not_resumable
        == "media, or several prompts"
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"prompt": 5}',
        b'{"messages": []}',
        b'{"prompt": "x", "stream": 1}',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_what_is_no_request_is_left_to_llama_server(content: bytes) -> None:
    assert read_request("/completion", content) is None
    assert read_request("/v1/embeddings", b'{"prompt": "x"}') is None


@pytest.mark.parametrize(
    ("body", "limit"),
    [
        ({}, None),
        ({"max_tokens": None}, None),
        ({"n_predict": -1}, None),
        ({"max_tokens": 7}, 7),
        ({"max_tokens": 7, "max_completion_tokens": 5}, 5),
        ({"max_tokens": 7, "n_predict": 3}, 3),
    ],
)
def test_the_limit_is_the_one_that_llama_server_takes(body: dict[str, Any], limit: int | None) -> None:
    assert read(prompt="x", **body).limit == limit


def test_a_stream_is_asked_for_that_tells_of_ids() -> None:
    text = read("/v1/completions", prompt="x").first()
    assert (text["stream"], text["verbose"]) == (True, True)
    chat = read("/v1/chat/completions", messages=MESSAGES)
    assert chat.first()["stream_options"] == {"include_usage": True}
    assert not chat.wants_usage
    streamed = read("/v1/chat/completions", messages=MESSAGES, stream=True).first()
    assert "stream_options" not in streamed
    assert (streamed["n_probs"], streamed["timings_per_token"]) == (1, True)


@pytest.mark.parametrize(
    ("prompt", "one"),
    [
        ("x", "x"),
        (["x"], "x"),
        ([[1, 2]], [1, 2]),
        ([1], [1]),
        (["x", 1], ["x", 1]),
        ({"prompt_string": "x"}, "x"),
        ([], []),
        ([1, None], []),
        ([True], []),
    ],
)
def test_one_prompt_may_be_written_in_several_ways(prompt: Any, one: Any) -> None:
    assert one_prompt(prompt) == one


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ("prompt", "messages", "stream", "n", "stop", "seed", "max_tokens", "response_format")
)


@given(
    st.sampled_from(["/completion", "/v1/completions", "/v1/chat/completions"]), st.dictionaries(NAMES, JSON)
)
def test_no_request_whatever_makes_the_gateway_stumble(path: str, body: dict[str, Any]) -> None:
    request = read_request(path, json.dumps(body).encode())
    if request is not None:
        assert request.first()["stream"] is True
