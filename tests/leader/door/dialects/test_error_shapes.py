"""Errors in each API's shape, and llama-server's own read back."""

import json
from typing import Any

import pytest

from leader.door.dialects.error_shapes import error_body, error_event, shape_of, sse_event, told_error
from leader.door.orders import ErrorShape


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/v1/messages", ErrorShape.ANTHROPIC),
        ("/v1/messages/count_tokens", ErrorShape.ANTHROPIC),
        ("/v1/%6dessages", ErrorShape.ANTHROPIC),
        ("/v1/responses", ErrorShape.RESPONSES),
        ("/responses", ErrorShape.RESPONSES),
        ("/v1/chat/completions", ErrorShape.OPENAI),
        ("/v1/messages-of-mine", ErrorShape.OPENAI),
        ("/", ErrorShape.OPENAI),
        ("", ErrorShape.OPENAI),
    ],
)
def test_a_path_has_the_shape_of_its_api(path: str, shape: ErrorShape) -> None:
    assert shape_of(path) is shape


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (422, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
    ],
)
def test_anthropics_kind_of_error_follows_from_the_status(status: int, kind: str) -> None:
    body = error_body(ErrorShape.ANTHROPIC, status, "x", "why", "messages")
    assert body == {"type": "error", "error": {"type": kind, "message": "why"}}


@pytest.mark.parametrize("shape", [ErrorShape.OPENAI, ErrorShape.RESPONSES])
def test_openais_errors_name_the_field_to_blame(shape: ErrorShape) -> None:
    error = {"message": "why", "type": "invalid_request_error", "code": "bad", "param": "top_p"}
    assert error_body(shape, 400, "bad", "why", "top_p") == {"error": error}
    assert error_body(shape, 502, "lost", "why")["error"]["type"] == "server_error"


def _event(raw: bytes) -> tuple[list[bytes], Any]:
    *head, data, end, rest = raw.split(b"\n")
    assert (end, rest) == (b"", b"")
    return head, json.loads(data.removeprefix(b"data: "))


def test_an_error_event_is_named_where_clients_look_at_names() -> None:
    assert _event(error_event(ErrorShape.OPENAI, "lost", "a\nb")) == (
        [],
        {"error": {"message": "a\nb", "type": "server_error", "code": "lost", "param": None}},
    )
    head, data = _event(error_event(ErrorShape.ANTHROPIC, "lost", "why"))
    assert (head, data["error"]["type"]) == ([b"event: error"], "overloaded_error")
    head, data = _event(error_event(ErrorShape.RESPONSES, "lost", "why", sequence_number=7))
    assert head == [b"event: error"]
    beside = {"type": "error", "code": "lost", "message": "why", "param": None, "sequence_number": 7}
    assert {name: data[name] for name in beside} == beside
    assert data["error"]["message"] == "why"


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        ({"error": {"code": 400, "message": "m", "type": "t"}}, (400, "t", "m")),
        ({"error": {"code": "7"}}, (500, "server_error", "no reason given")),
        ({"error": {"code": 200, "message": "m"}}, (500, "server_error", "m")),
        ({"error": {"code": True, "message": "m"}}, (500, "server_error", "m")),
        ({"error": "text"}, (500, "server_error", "text")),
        ({"error": None, "choices": []}, None),
        ({}, None),
    ],
)
def test_an_error_of_llama_server_is_read_whatever_it_looks_like(
    answer: dict[str, Any], read: tuple[int, str, str] | None
) -> None:
    assert told_error(answer) == read


def test_a_context_that_is_too_small_is_raised_as_the_pool_does_it() -> None:
    said = "request (9000 tokens) exceeds the available context size (4096 tokens), try increasing it"
    told = told_error({"error": {"code": 400, "message": said, "type": "exceed_context_size_error"}})
    assert told is not None
    assert told[2].endswith("(4096 tokens), an owner raises it by: mesh serve MODEL --ctx N")


def test_an_event_is_one_line_of_data() -> None:
    assert sse_event("x", {"a": "\n\r\u2028"}) == b'event: x\ndata: {"a":"\\n\\r\\u2028"}\n\n'
