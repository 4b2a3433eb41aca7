"""What an event of llama-server's says of tokens, in each dialect.

Facts about llama-server that this rests on: a chunk is made for a token whose text, with what is before it,
is whole characters; tokens within a character make none, so their ids are never told, but their number is. A
chunk has all text that was not sent before, or none while that text could be the beginning of a stop string.
The last event has no text.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mesh.gateway.resuming.request import Dialect


@dataclass(frozen=True, slots=True)
class StreamPiece:
    """Part of an answer.

    ``ids`` are tokens that are told of, ``count`` how many there were in this stream so far, if told; ``raw``
    the text as generated, ``text`` that of the content, ``thought`` that of the reasoning; ``foreign`` says
    that there is more than these; ``finish`` is why the answer ended, None before that.
    """

    ids: tuple[int, ...] = ()
    count: int | None = None
    raw: str = ""
    text: str = ""
    thought: str = ""
    foreign: bool = False
    finish: str | None = None


def parse_event(event: bytes) -> Mapping[str, Any] | None:
    """Return the object of a server-sent event; None for comments, [DONE], and what is no object."""
    if not event.startswith(b"data:"):
        return None
    try:
        value = json.loads(event[5:])
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def read_piece(dialect: Dialect, event: Mapping[str, Any]) -> StreamPiece:
    """Read an event. Raises ``LookupError``, ``TypeError`` or ``ValueError`` where it is no such event."""
    if dialect is Dialect.NATIVE:
        return _native(event, event["content"])
    if dialect is Dialect.TEXT:
        choice = event["choices"][0]
        piece = _native(event["__verbose"], choice["text"])
        return StreamPiece(piece.ids, piece.count, piece.raw, piece.text, finish=choice["finish_reason"])
    return _chat(event)


def is_preliminary(dialect: Dialect, event: Mapping[str, Any]) -> bool:
    """Whether nothing of the answer is in an event yet: who speaks, or how far the prompt has been read."""
    if "prompt_progress" in event:
        return True
    choices = event.get("choices")
    if dialect is not Dialect.CHAT or not isinstance(choices, list) or not choices:
        return False
    delta = choices[0].get("delta", {})
    said = any(value for key, value in delta.items() if key != "role")
    return "role" in delta and not said and not choices[0].get("finish_reason")


def _native(event: Mapping[str, Any], text: str) -> StreamPiece:
    if "prompt_progress" in event:
        return StreamPiece()
    finish = event.get("stop_type", "none") if event["stop"] else None
    return StreamPiece(tuple(event["tokens"]), event["tokens_predicted"], text, text, finish=finish)


def _chat(event: Mapping[str, Any]) -> StreamPiece:
    count = event.get("timings", {}).get("predicted_n")
    if "prompt_progress" in event:
        return StreamPiece()
    if not event["choices"]:
        return StreamPiece(count=count)
    choice = event["choices"][0]
    delta = choice["delta"]
    told = (choice.get("logprobs") or {}).get("content") or []
    thought = delta.get("reasoning_content") or ""
    foreign = bool(delta.get("tool_calls"))
    raw = b"".join(text_bytes(token["bytes"]) for token in told).decode(errors="replace")
    ids = tuple(token["id"] for token in told)
    return StreamPiece(ids, count, raw, delta.get("content") or "", thought, foreign, choice["finish_reason"])


def text_bytes(text: Any) -> bytes:
    """Return a token's text: a string, or a list of bytes where it is no whole characters."""
    if isinstance(text, str):
        return text.encode(errors="replace")
    if not isinstance(text, list):
        raise TypeError("neither text nor bytes")
    return bytes(text)
