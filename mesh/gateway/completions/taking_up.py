"""Asks a leader to take up an answer that another began."""

import json
from typing import Any, Final

from mesh.gateway.leaders import RETRY, RequestRefused, UpstreamAttempt
from mesh.gateway.replies import Headers
from mesh.gateway.resuming.continuation import CannotContinue
from mesh.gateway.resuming.dialects import parse_event
from mesh.gateway.resuming.resume_request import (
    MAX_RESUME_REQUEST,
    RESUME_PATH,
    ResumeRequest,
    encode_resume_request,
)
from mesh.gateway.resuming.taken_up import TakenUp, read_taken_up
from mesh.gateway.upstream import Head, NotServing, UpstreamLost
from mesh.wire.errors import MeshError

CANNOT_CONTINUE: Final = "cannot_continue"
"""The leader's code for an answer that cannot be continued."""
LLAMA_REFUSED: Final = "refused"
"""The leader's code for llama-server's refusal, in its own words."""
KILLS_ENGINES: Final = "engine_died"
"""The leader's code for a request during which llama-server died again: it is not tried once more."""
MOST_BETWEEN_TRIES: Final = 60.0
"""Seconds until a leader is asked again that takes no request, whatever it says."""

_HEADERS: Final[Headers] = [(b"host", b"localhost"), (b"content-type", b"application/json")]


class RequestKillsEngines(MeshError):
    """The leader repeats this request no more: its llama-server died over it, and over its repetition."""


async def take_up(attempt: UpstreamAttempt, request: ResumeRequest) -> tuple[TakenUp, list[bytes]]:
    """Have an answer taken up; return the leader's word that it is, and the events that came with that.

    Raises `CannotContinue`, `RequestRefused`, `RequestKillsEngines` and `UpstreamLost`.
    """
    content = encode_resume_request(request)
    if len(content) > MAX_RESUME_REQUEST:
        raise CannotContinue("it is too long to be sent to another leader")
    head = await attempt.send("POST", RESUME_PATH.encode(), _HEADERS, content)
    if not is_event_stream(head):
        raise _refusal(head, await attempt.rest())
    while events := await attempt.events():
        for place, event in enumerate(events, 1):
            taken_up = _read(event)
            if taken_up is not None:
                return taken_up, events[place:]
    raise UpstreamLost("the leader stopped before it had taken up the answer")


def is_event_stream(head: Head) -> bool:
    """Whether an answer is a stream of events."""
    return head.status == 200 and any(
        name == b"content-type" and value.lower().startswith(b"text/event-stream")
        for name, value in head.headers
    )


def error_code(value: Any) -> str:
    """Return the code of an error object; empty where it has none."""
    error = value.get("error") if isinstance(value, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) else ""


def _read(event: bytes) -> TakenUp | None:
    try:
        taken_up = read_taken_up(event)
    except ValueError as error:
        raise UpstreamLost(str(error)) from error
    value = parse_event(event) or {}
    if "error" in value:
        raise _told(value, event.decode(errors="replace"))
    return taken_up


def _refusal(head: Head, content: bytes) -> Exception:
    """Say in an exception what a leader's answer means that is no stream."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        value = None
    text = content[:300].decode(errors="replace")
    if head.status in (429, 503):
        return NotServing(f"the leader takes no request: {_message(value, text)}", _retry_after(head))
    if head.status >= 500:
        return UpstreamLost(f"the leader answered {head.status}: {text}")
    return _told(value, f"the leader answered {head.status}: {text}")


def _told(value: Any, text: str) -> Exception:
    code, message = error_code(value), _message(value, text)
    if code == CANNOT_CONTINUE:
        return CannotContinue(message)
    if code == KILLS_ENGINES:
        return RequestKillsEngines(message)
    return RequestRefused(message if code == LLAMA_REFUSED else text)


def _message(value: Any, text: str) -> str:
    error = value.get("error") if isinstance(value, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return message if isinstance(message, str) else text


def _retry_after(head: Head) -> float:
    given = next((value for name, value in head.headers if name == b"retry-after"), b"1")
    return min(max(float(given), RETRY), MOST_BETWEEN_TRIES) if given.isdigit() else 1.0
