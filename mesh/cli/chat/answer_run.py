"""Brings one answer from its stream to the display, and notes its times and what it waited for."""

import math
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from mesh.cli.chat.answer_events import (
    BROKEN_OFF,
    AnswerEvent,
    AnswerFinished,
    AnswerText,
    AnswerThought,
    AskFailed,
    LeaderAwaited,
    NothingCame,
    PromptRead,
    StreamOpened,
    TokensCounted,
)
from mesh.cli.chat.answer_measure import AnswerMeasure
from mesh.cli.chat.display import AnswerDisplay
from mesh.cli.chat.waiting_reasons import (
    WaitingFor,
    WaitingReason,
    computed_by,
    is_another,
    loss_in_words,
    takes_up,
    why_waiting,
)
from mesh.control.operations import Status

QUIET: Final = 0.7
"""Seconds without a token after which the display says what is waited for."""
MOST_TEXT: Final = 4 << 20
"""Characters of an answer and its reasoning: no context holds as much, so it is a leader's mistake or lie."""
STATUS_EVERY: Final = 1.0
"""Seconds between two questions for the status, while an answer waits."""
MOST_LOSSES: Final = 5
"""Losses of a leader that are told after the answer."""


class EventSource(Protocol):
    """What yields an answer's events, such as `mesh.cli.chat.answer_stream.AnswerStream`."""

    def events(self) -> Iterator[AnswerEvent]:
        """Ask, and yield what comes."""

    def close(self) -> None:
        """Hang up."""


class AnswerRun:
    """One answer. ``ask_status`` returns None where the sidecar does not tell; ``clock`` is in seconds."""

    def __init__(
        self,
        display: AnswerDisplay,
        ask_status: Callable[[], Status | None],
        clock: Callable[[], float],
        status: Status,
    ) -> None:
        self._text: list[str] = []
        self._length = 0
        self.finish: str | None = None
        self.failed: AskFailed | None = None
        self.cut = False
        self.losses: deque[str] = deque(maxlen=MOST_LOSSES)
        """The last leaders that were lost over this answer, in words, with the seconds that this took."""
        self.status = status
        self.measure = AnswerMeasure(clock())
        self._display, self._ask_status, self._clock = display, ask_status, clock
        self._waiting = WaitingFor(status["leader"])
        self._reason = WaitingReason("", False)
        self._loss_seen = False
        self._told: Status | None = status
        self._quiet_since = clock()
        self._asked_at = -math.inf

    def run(self, source: EventSource, stopped: Callable[[], bool] = lambda: False) -> None:
        """Take all events, or those until ``stopped``: then the answer is cut."""
        try:
            for event in source.events():
                if stopped():
                    self.cut = True
                    break
                self._take(event)
                if self._length > MOST_TEXT:
                    self.failed = AskFailed(0, BROKEN_OFF, "the answer is longer than any context")
                    break
        finally:
            source.close()
            self.measure.ended(self._clock())
            self._display.end()
        # Another leader may have another plan.
        self.status = self._ask_status() or self.status

    @property
    def text(self) -> str:
        """The answer as far as it has come."""
        return "".join(self._text)

    def facts(self) -> dict[str, Any]:
        """Return the answer as ``--json`` prints it."""
        deployment = self.status["deployment"]
        return {
            "text": self.text,
            "model": deployment["model"] if deployment else None,
            **self.measure.times(),
            "finish_reason": "cut" if self.cut else self.finish,
            "computed_by": computed_by(self.status),
            "leader": self.status["leader"],
        }

    def _take(self, event: AnswerEvent) -> None:
        match event:
            case AnswerText(text):
                self._came()
                self._text.append(text)
                self._length += len(text)
                self._display.text(text)
            case AnswerThought(text):
                self._came()
                self._length += len(text)
                self._display.thought(text)
            case StreamOpened():
                self._waiting.opened = True
            case PromptRead(fraction):
                self._waiting.read = fraction
                self._wait()
            case LeaderAwaited():
                self._wait(at_once=not self._waiting.awaited)
            case NothingCame():
                self._wait()
            case AnswerFinished(reason):
                self.finish = reason
            case TokensCounted(tokens):
                self.measure.counted(tokens)
            case AskFailed():
                self.failed = event

    def _came(self) -> None:
        """Note that a piece came, and what the gap before it was."""
        now, lost = self._clock(), ""
        if self._loss_seen or self._waiting.awaited:
            status = self._ask_status() or self.status
            lost = loss_in_words(self._waiting.leader, status["leader"])
            self._tell_loss(lost, status, now - self._quiet_since)
            self.status = status
            self._waiting.leader = status["leader"] or self._waiting.leader
        self.measure.piece(now, lost, self._reason.text)
        self._waiting.begun, self._waiting.awaited, self._loss_seen = True, False, False
        self._reason = WaitingReason("waiting for the next token", False)
        self._quiet_since = now

    def _tell_loss(self, lost: str, status: Status, quiet: float) -> None:
        """Name the next leader also where the answer goes on before the status was asked again."""
        self.losses.append(f"{lost}: {quiet:.1f} s")
        leader = status["leader"]
        if leader is not None and is_another(self._waiting.leader, leader):
            reason = takes_up(leader)
            if reason != self._reason:
                self._display.waiting(reason, quiet)

    def _wait(self, *, at_once: bool = False) -> None:
        """Show what is waited for, once that takes a while; ``at_once``: a leader was lost just now."""
        now = self._clock()
        quiet = now - self._quiet_since
        self._waiting.awaited = self._waiting.awaited or at_once
        if quiet < QUIET and not self._waiting.awaited:
            return
        if at_once or self._asked_at < self._quiet_since or now - self._asked_at >= STATUS_EVERY:
            self._asked_at = now
            self._told = self._ask_status()
            if self._waiting.leader is None and self._told is not None:
                self._waiting.leader = self._told["leader"]
        self._reason = why_waiting(self._waiting, self._told)
        self._loss_seen = self._loss_seen or self._reason.loss
        self._display.waiting(self._reason, quiet)
