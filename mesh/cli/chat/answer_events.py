"""What comes over the stream of an answer, as typed events. Pure."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from mesh.gateway.sse import EventSplitter

GATEWAY_GONE = "gateway_gone"
BROKEN_OFF = "broken_off"
MOST_TOKENS = 1 << 40
MOST_REASON = 2000
"""Characters of a reason that are kept."""


class StreamOpened(NamedTuple):
    """The leader has begun: a slot is this request's."""


class PromptRead(NamedTuple):
    """How much of the prompt was read, 0..1."""

    fraction: float


class AnswerText(NamedTuple):
    """More of the answer."""

    text: str


class AnswerThought(NamedTuple):
    """More of the reasoning before the answer."""

    text: str


class LeaderAwaited(NamedTuple):
    """The gateway has lost the leader, or takes the answer up with the next, and keeps the stream."""


class NothingCame(NamedTuple):
    """Nothing came for a moment."""


class AnswerFinished(NamedTuple):
    """The answer is whole: ``stop``, or ``length`` where a limit ended it."""

    reason: str


class TokensCounted(NamedTuple):
    """How many tokens the answer has."""

    tokens: int


class AskFailed(NamedTuple):
    """There is no answer, or no more of it. ``status``: of HTTP, 0 within a stream or without one."""

    status: int
    code: str
    message: str
    retry_after: float | None = None


AnswerEvent = (
    StreamOpened
    | PromptRead
    | AnswerText
    | AnswerThought
    | LeaderAwaited
    | NothingCame
    | AnswerFinished
    | TokensCounted
    | AskFailed
)


class AnswerReader:
    """Reads the bytes of a stream of server-sent events."""

    def __init__(self) -> None:
        self._splitter = EventSplitter()
        self.ended = False

    def feed(self, data: bytes) -> list[AnswerEvent]:
        """Return the events that these bytes complete. What makes no sense ends the answer."""
        try:
            whole = self._splitter.feed(data)
        except ValueError:
            return [self._nonsense()]
        events: list[AnswerEvent] = []
        for one in whole:
            if not self.ended:
                events += self._read(one.strip())
        return events

    def _read(self, event: bytes) -> list[AnswerEvent]:
        if event.startswith(b":"):
            # The gateway sends comments while an answer waits for a leader, and for nothing else.
            return [LeaderAwaited()]
        data = b"\n".join(line[5:].strip() for line in event.splitlines() if line.startswith(b"data:"))
        if not data:
            return []
        if data == b"[DONE]":
            self.ended = True
            return []
        try:
            value = json.loads(data)
            if isinstance(value, dict) and value.get("error"):
                self.ended = True
                return [read_error(0, value)]
            return _pieces(value)
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError):
            return [self._nonsense()]

    def _nonsense(self) -> AskFailed:
        self.ended = True
        return AskFailed(0, BROKEN_OFF, "the answer makes no sense to this version of mesh")


def _pieces(value: Mapping[str, Any]) -> list[AnswerEvent]:
    """Read one chunk of a chat completion."""
    if progress := value.get("prompt_progress"):
        return [PromptRead(min(1.0, max(0.0, progress["processed"] / max(1, progress["total"]))))]
    events: list[AnswerEvent] = []
    for choice in value.get("choices") or []:
        delta = choice.get("delta") or {}
        if thought := delta.get("reasoning_content"):
            events.append(AnswerThought(str(thought)))
        if text := delta.get("content"):
            events.append(AnswerText(str(text)))
        if reason := choice.get("finish_reason"):
            events.append(AnswerFinished(str(reason)))
    if usage := value.get("usage"):
        events.append(TokensCounted(min(MOST_TOKENS, max(0, int(usage["completion_tokens"])))))
    return events


def read_error(status: int, value: Any, retry_after: float | None = None) -> AskFailed:
    """Read an error of OpenAI's shape, or whatever else came in its place."""
    error = value.get("error") if isinstance(value, dict) else None
    error = error if isinstance(error, dict) else {"message": error or value}
    message = str(error.get("message") or f"the gateway answered with status {status} and no reason")
    return AskFailed(status, str(error.get("code") or ""), message[:MOST_REASON], retry_after)
