"""Whole answers of the gateway: their length, who may read them, and errors as OpenAI's clients know them."""

import json

import pytest

from mesh.gateway.replies import error_event, error_reply, json_reply, reply, unavailable


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
    error = {"message": "The body is too large", "type": kind, "code": "too_large"}
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
    assert json.loads(event[6:])["error"] == {"message": "two\nlines", "type": "server_error", "code": "lost"}
