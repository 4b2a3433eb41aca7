"""Whole answers of the gateway: their length, who may read them, and errors as OpenAI's clients know them."""

import json

import h11
import pytest

from leader.door.orders import ErrorShape, Refused
from mesh.gateway.replies import (
    as_http,
    error_event,
    error_reply,
    json_reply,
    refusal,
    reply,
    unavailable,
)


def test_a_reply_says_how_long_it_is_and_keeps_caches_and_other_sites_out() -> None:
    made = reply(200, "text/plain", "é".encode(), [(b"x-more", b"1")])
    assert dict(made.headers) == {
        b"content-type": b"text/plain",
        b"content-length": b"2",
        b"cache-control": b"no-store",
        b"x-content-type-options": b"nosniff",
        b"cross-origin-resource-policy": b"same-origin",
        b"x-more": b"1",
    }


def test_headers_of_one_reply_do_not_stay_for_the_next() -> None:
    reply(200, "text/plain", b"", [(b"x-more", b"1")])
    assert b"x-more" not in dict(reply(200, "text/plain", b"").headers)


def test_json_is_one_line() -> None:
    made = json_reply(200, {"a": "b\nc"})
    assert made.content == b'{"a":"b\\nc"}\n'
    assert dict(made.headers)[b"content-length"] == b"%d" % len(made.content)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "invalid_request_error"), (499, "invalid_request_error"), (500, "server_error")],
)
def test_an_error_says_whose_it_is(status: int, kind: str) -> None:
    made = error_reply(status, "too_large", "The body is too large")
    error = {"message": "The body is too large", "type": kind, "code": "too_large", "param": None}
    assert (made.status, json.loads(made.content)) == (status, {"error": error})


@pytest.mark.parametrize(("retry_after", "told"), [(0.0, b"1"), (1.2, b"2"), (30.0, b"30")])
def test_what_is_not_available_says_in_how_many_whole_seconds_to_ask_again(
    retry_after: float, told: bytes
) -> None:
    made = unavailable("no_leader", "No member leads", retry_after)
    assert (made.status, dict(made.headers)[b"retry-after"]) == (503, told)


def test_an_error_in_a_stream_is_one_event() -> None:
    event = error_event("lost", "two\nlines")
    assert event.startswith(b"data: ")
    assert event.index(b"\n") == len(event) - 2
    assert json.loads(event[6:])["error"]["message"] == "two\nlines"


@pytest.mark.parametrize(("after", "said"), [(0.0, None), (0.2, b"1"), (17.5, b"18")])
def test_a_refusal_of_the_door_says_when_to_ask_again(after: float, said: bytes | None) -> None:
    made = refusal(Refused(429, "suspended", "not now", retry_after=after))
    assert made.status == 429
    assert dict(made.headers).get(b"retry-after") == said
    assert json.loads(made.content)["error"]["code"] == "suspended"


def test_a_reply_that_ends_its_connection_is_whole_http() -> None:
    made = refusal(Refused(403, "may_not_ask", "no"))
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
    client.send(h11.EndOfMessage())
    client.receive_data(as_http(made))
    client.receive_data(b"")
    head, data, end = (client.next_event() for _ in range(3))
    assert isinstance(head, h11.Response)
    assert (head.status_code, head.reason) == (403, b"Forbidden")
    assert isinstance(data, h11.Data)
    assert bytes(data.data) == made.content
    assert isinstance(end, h11.EndOfMessage)


def test_errors_have_the_shape_of_the_path() -> None:
    made = unavailable("no_leader", "No member leads", 1, ErrorShape.ANTHROPIC)
    error = {"type": "overloaded_error", "message": "No member leads"}
    assert json.loads(made.content) == {"type": "error", "error": error}
    assert error_event("lost", "why", ErrorShape.RESPONSES).startswith(b"event: error\n")
