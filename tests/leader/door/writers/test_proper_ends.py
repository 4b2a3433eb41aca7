"""The last event of a whole stream, and events that only look like it."""

import json

import pytest

from leader.door.writers.proper_ends import ends_properly

CHAT, TEXT, NATIVE = "/v1/chat/completions", "/v1/completions", "/completion"
MESSAGES, RESPONSES = "/v1/messages", "/v1/responses"


@pytest.mark.parametrize(
    ("path", "event"),
    [
        (CHAT, b"data: [DONE]"),
        ("/chat/completions", b"data:[DONE]"),
        (TEXT, b"data: [DONE]"),
        (NATIVE, b'data: {"content":"","stop":true}'),
        ("/infill", b'data: {"content":"","stop":true}'),
        (MESSAGES, b'event: message_stop\ndata: {"type":"message_stop"}'),
        (MESSAGES, b'event:message_stop\r\ndata: {"type":"message_stop"}'),
        (RESPONSES, b'event: response.completed\ndata: {"response":{"error":null}}'),
        (RESPONSES, b"event: response.incomplete\ndata: {}"),
        (RESPONSES, b"event: response.failed\ndata: {}"),
        ("/responses", b"event: response.completed\ndata: {}"),
        ("/other", b"data: {}"),
        ("/other", b""),
    ],
)
def test_a_whole_stream_ends_as_its_path_says(path: str, event: bytes) -> None:
    assert ends_properly(path, event)


@pytest.mark.parametrize("path", [CHAT, NATIVE, MESSAGES, RESPONSES])
@pytest.mark.parametrize(
    "event",
    [b'data: {"error":{}}', b'event: error\ndata: {"type":"error","error":{}}', b"event: error\ndata: x"],
)
def test_a_stream_that_says_its_error_needs_no_other(path: str, event: bytes) -> None:
    assert ends_properly(path, event)


@pytest.mark.parametrize(
    ("path", "event"),
    [
        (CHAT, b""),
        (MESSAGES, b""),
        (CHAT, b'data: {"choices":[]}'),
        (NATIVE, b'data: {"content":"x","stop":false}'),
        (MESSAGES, b'event: message_delta\ndata: {"type":"message_delta"}'),
        (MESSAGES, b'data: {"type":"message_stop"}'),
        (MESSAGES, b"data: [DONE]"),
        (RESPONSES, b'event: response.in_progress\ndata: {"response":{"error":null}}'),
        (RESPONSES, b'event: response.created\ndata: {"response":{"metadata":{"error":"x"}}}'),
    ],
)
def test_a_stream_that_broke_off_is_known(path: str, event: bytes) -> None:
    assert not ends_properly(path, event)


@pytest.mark.parametrize("path", [CHAT, NATIVE, MESSAGES, RESPONSES])
@pytest.mark.parametrize(
    "text",
    [
        "data: [DONE]",
        '"stop":true',
        "event: message_stop",
        '{"error":',
        '"error"',
        "event: response.completed",
    ],
)
def test_an_end_that_the_model_only_quotes_is_none(path: str, text: str) -> None:
    data = json.dumps({"delta": {"content": text}}, separators=(",", ":")).encode()
    assert not ends_properly(path, b"data: " + data)
    assert not ends_properly(path, b"event: content_block_delta\ndata: " + data)
