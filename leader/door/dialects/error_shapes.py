"""Errors as each API's own client raises them: as a whole answer, and as the last event of a stream. Pure.

Anthropic's client looks at nothing but the name of an event: an error without ``event: error`` ends its
stream as if all had been said. OpenAI's raises where the data has an ``error``, in a stream of the Responses
API too; others read there the fields beside it, so that event has both.
"""

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

from leader.door.orders import ErrorShape

_ANTHROPIC_TYPES: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_SHAPES: Final = {
    "messages": ErrorShape.ANTHROPIC,
    "responses": ErrorShape.RESPONSES,
}

_ENGINES_ADVICE: Final = "try increasing it"
_OUR_ADVICE: Final = "an owner raises it by: mesh serve MODEL --ctx N"
"""What helps where a prompt is longer than the context, in place of an option of llama-server's own."""


def shape_of(path: str) -> ErrorShape:
    """Return the shape that clients of this path (as sent, or decoded) understand."""
    parts = unquote(path).strip("/").removeprefix("v1/").split("/")
    return _SHAPES.get(parts[0], ErrorShape.OPENAI)


def error_body(
    shape: ErrorShape, status: int, code: str, message: str, field: str | None = None
) -> dict[str, Any]:
    """Return the whole answer to a request that failed; ``field`` is the one to blame."""
    if shape is ErrorShape.ANTHROPIC:
        return {"type": "error", "error": {"type": _anthropic_type(status), "message": message}}
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "code": code, "param": field}}


def error_event(
    shape: ErrorShape, code: str, message: str, status: int = 503, sequence_number: int = 0
) -> bytes:
    """Return the server-sent event that ends a stream which failed, so that its client raises."""
    body = error_body(shape, status, code, message)
    if shape is ErrorShape.OPENAI:
        return sse_event(None, body)
    if shape is ErrorShape.RESPONSES:
        beside = {"code": code, "message": message, "param": None, "sequence_number": sequence_number}
        body = {"type": "error", **beside, **body}
    return sse_event("error", body)


def told_error(answer: Mapping[str, Any]) -> tuple[int, str, str] | None:
    """Read an error of llama-server: status, code and message. None where the answer is no error.

    Its ``code`` is an HTTP status and its ``type`` what others call the code.
    """
    error = answer.get("error")
    if not error:
        return None
    if not isinstance(error, Mapping):
        return 500, "server_error", str(error)
    status = error.get("code")
    if isinstance(status, bool) or not isinstance(status, int) or not 400 <= status < 600:
        status = 500
    message = str(error.get("message") or "no reason given").replace(_ENGINES_ADVICE, _OUR_ADVICE)
    return status, str(error.get("type") or "server_error"), message


def sse_event(name: str | None, value: Mapping[str, Any]) -> bytes:
    """Encode a server-sent event. Its data is one line, as ASCII: JSON's escapes stand for all the rest."""
    data = b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"
    return data if name is None else b"event: " + name.encode() + b"\n" + data


def _anthropic_type(status: int) -> str:
    default = "invalid_request_error" if status < 500 else "api_error"
    return _ANTHROPIC_TYPES.get(status, default)
