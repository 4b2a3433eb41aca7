"""Whole answers of the gateway itself, and errors in the shape that the path's clients understand."""

import json
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from leader.door.dialects import error_shapes
from leader.door.dialects.error_shapes import error_body
from leader.door.orders import ErrorShape, Refused

Headers = list[tuple[bytes, bytes]]

_OWN_HEADERS: Headers = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


class Reply(NamedTuple):
    """A whole answer."""

    status: int
    headers: Headers
    content: bytes


def reply(status: int, content_type: str, content: bytes, headers: Headers | None = None) -> Reply:
    """Make a whole answer that no cache keeps and no other site reads."""
    head = [(b"content-type", content_type.encode()), (b"content-length", b"%d" % len(content))]
    return Reply(status, head + _OWN_HEADERS + (headers or []), content)


def json_reply(status: int, value: Mapping[str, Any], headers: Headers | None = None) -> Reply:
    """Make a whole answer of a JSON object."""
    return reply(status, "application/json", json_bytes(value) + b"\n", headers)


def error_reply(
    status: int,
    code: str,
    message: str,
    headers: Headers | None = None,
    shape: ErrorShape = ErrorShape.OPENAI,
) -> Reply:
    """Make an error: the caller must mend those below 500, the others are ours."""
    return json_reply(status, error_body(shape, status, code, message), headers)


def unavailable(code: str, message: str, retry_after: float, shape: ErrorShape = ErrorShape.OPENAI) -> Reply:
    """Make a 503 that says why, and in how many whole seconds (at least one) to ask again."""
    seconds = max(1, math.ceil(retry_after))
    return error_reply(503, code, message, [(b"retry-after", b"%d" % seconds)], shape)


def refusal(refused: Refused, shape: ErrorShape | None = None) -> Reply:
    """Make the answer to a request that the leader's door refuses; ``shape``: that of an unjudged path."""
    seconds = b"%d" % max(1, math.ceil(refused.retry_after))
    headers = [(b"retry-after", seconds)] if refused.retry_after > 0 else []
    headers += [(b"allow", ", ".join(refused.allow).encode())] if refused.allow else []
    body = error_body(shape or refused.shape, refused.status, refused.code, refused.message, refused.field)
    return json_reply(refused.status, body, headers)


def as_http(whole: Reply) -> bytes:
    """Write an answer as it goes over a connection that ends with it."""
    phrase = HTTPStatus(whole.status).phrase.encode()
    lines = [b"HTTP/1.1 %d %s" % (whole.status, phrase), b"connection: close"]
    lines += [name + b": " + value for name, value in whole.headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + whole.content


def error_event(code: str, message: str, shape: ErrorShape = ErrorShape.OPENAI) -> bytes:
    """Return a server-sent event with an error, which clients of this shape raise amid a stream."""
    return error_shapes.error_event(shape, code, message)


def json_bytes(value: Mapping[str, Any]) -> bytes:
    """Encode without line breaks or blanks, as server-sent events need it."""
    return json.dumps(value, separators=(",", ":")).encode()
