"""What llama-server's events say of tokens, in each dialect.

This rests on facts about llama-server. It makes a chunk for a token whose text, with the text before it, is
whole characters. Tokens within a character make none: their number is reported, their ids are not. A chunk
has all text that was not sent before, or none while that text could begin a stop string. The last event has
no text.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mesh.gateway.resuming.request import Dialect


@dataclass(frozen=True, slots=True)
class StreamPiece:
    """Part of an answer.

    ``ids`` are reported tokens; ``count`` is the number of tokens in this stream so far, if reported. ``raw``
    is the text as generated, ``text`` that of the content, ``thought`` that of the reasoning. ``foreign``:
    there is more than these. ``finish`` is why the answer ended, None before that.
    """

    ids: tuple[int, ...] = ()
    count: int | None = None
    raw: str = ""
    text: str = ""
    thought: str = ""
    foreign: bool = False
    finish: str | None = None


def parse_event(event: bytes) -> Mapping[str, Any] | None:
    """Return the object of a server-sent event; None for comments, [DONE], and other values."""
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
    """Whether an event has nothing of the answer yet, only the role or the prompt's progress."""
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
    reported = (choice.get("logprobs") or {}).get("content") or []
    thought = delta.get("reasoning_content") or ""
    foreign = bool(delta.get("tool_calls"))
    raw = b"".join(text_bytes(token["bytes"]) for token in reported).decode(errors="replace")
    ids = tuple(token["id"] for token in reported)
    return StreamPiece(ids, count, raw, delta.get("content") or "", thought, foreign, choice["finish_reason"])


def text_bytes(text: Any) -> bytes:
    """Return a token's text: a string, or a list of bytes where it is no whole characters."""
    if isinstance(text, str):
        return text.encode(errors="replace")
    if not isinstance(text, list):
        raise TypeError("neither text nor bytes")
    return bytes(text)
