from collections.abc import Iterator
from typing import cast

import pytest

from mesh.cli.chat import answer_run
from mesh.cli.chat.answer_events import (
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
from mesh.cli.chat.answer_run import AnswerRun
from mesh.cli.chat.waiting_reasons import WaitingReason
from mesh.control.operations import Status
from tests.mesh.cli import examples

BEFORE = cast(Status, examples.status())
AFTER = cast(Status, examples.status(leader={"id": examples.GAMMA, "name": "gamma", "term": 4}))


class Stage:
    """Plays events at their times, is the clock, the sidecar and the display, and notes what is shown."""

    def __init__(self, *played: tuple[float, AnswerEvent | Status]) -> None:
        self.now = 0.0
        self.status: Status | None = BEFORE
        self.questions = 0
        self.shown: list[str] = []
        self.closed = False
        self._played = played

    def events(self) -> Iterator[AnswerEvent]:
        for at, one in self._played:
            self.now = at
            if isinstance(one, dict):
                self.status = one
            else:
                yield one

    def close(self) -> None:
        self.closed = True

    def ask_status(self) -> Status | None:
        self.questions += 1
        return self.status

    def text(self, text: str) -> None:
        self.shown.append(text)

    def thought(self, text: str) -> None:
        self.shown.append(f"<{text}>")

    def waiting(self, reason: WaitingReason, seconds: float) -> None:
        self.shown.append(f"({reason.text} {seconds:g})")

    def end(self) -> None:
        self.shown.append(".")

    def run(self, stop_at: float = 1e9) -> AnswerRun:
        run = AnswerRun(self, self.ask_status, lambda: self.now, BEFORE)
        run.run(self, lambda: self.now >= stop_at)
        assert self.closed
        return run


def test_an_answer_that_comes_quickly_shows_nothing_but_itself() -> None:
    stage = Stage(
        (0.1, StreamOpened()),
        (0.2, PromptRead(1.0)),
        (0.3, AnswerThought("hm")),
        (0.4, AnswerText("a")),
        (0.6, NothingCame()),
        (0.7, AnswerText("b")),
        (0.8, AnswerFinished("stop")),
        (0.8, TokensCounted(3)),
    )
    run = stage.run()
    assert stage.shown == ["<hm>", "a", "b", "."]
    assert stage.questions == 1, "who computed it"
    facts = run.facts()
    assert (facts["text"], facts["tokens"], facts["finish_reason"]) == ("ab", 3, "stop")
    assert (facts["first_token_seconds"], facts["pauses"], facts["model"]) == (0.3, [], "tiny.gguf")
    assert [one["name"] for one in facts["computed_by"]] == ["alpha", "beta"]
    assert facts["leader"]["name"] == "beta"


def test_a_slow_first_token_is_told_apart_from_a_lost_leader() -> None:
    stage = Stage(
        (1.0, NothingCame()),
        (2.5, StreamOpened()),
        (2.5, PromptRead(0.4)),
        (3.0, AnswerText("a")),
        (3.1, AnswerFinished("stop")),
    )
    run = stage.run()
    assert stage.shown == ["(waiting for a slot 1)", "(reading the prompt, 40% 2.5)", "a", "."]
    assert run.facts()["pauses"] == []


def test_a_lost_leader_is_shown_at_once_and_the_next_one_named() -> None:
    stage = Stage(
        (0.1, StreamOpened()),
        (0.2, AnswerText("a")),
        (0.3, LeaderAwaited()),
        (0.4, AFTER),
        (1.5, NothingCame()),
        (2.2, AnswerText("b")),
        (2.3, AnswerFinished("stop")),
    )
    run = stage.run()
    assert stage.shown[1] == "(the leader was lost, waiting 0.1)"
    assert stage.shown[2] == "(gamma leads now and takes up the answer 1.3)"
    assert stage.shown[3:] == ["b", "."]
    assert run.facts()["pauses"] == [{"seconds": 2.0, "reason": "the leader beta was lost, gamma leads now"}]


def test_the_next_leader_is_named_though_the_answer_goes_on_before_it_is_asked_for() -> None:
    stage = Stage(
        (0.2, AnswerText("a")),
        (0.3, LeaderAwaited()),
        (0.8, NothingCame()),
        (0.9, AFTER),
        (1.0, AnswerText("b")),
        (1.1, AnswerFinished("stop")),
    )
    run = stage.run()
    assert stage.shown[-3:] == ["(gamma leads now and takes up the answer 0.8)", "b", "."]
    assert list(run.losses) == ["the leader beta was lost, gamma leads now: 0.8 s"]


def test_a_leader_lost_before_the_first_token_is_a_pause_too() -> None:
    stage = Stage((1.0, AFTER), (2.0, NothingCame()), (4.0, AnswerText("a")), (4.0, AnswerFinished("stop")))
    run = stage.run()
    assert run.facts()["pauses"] == [{"seconds": 4.0, "reason": "the leader beta was lost, gamma leads now"}]


def test_the_status_is_asked_at_most_once_a_second() -> None:
    stage = Stage(*((1.0 + tick / 5, NothingCame()) for tick in range(25)), (7.0, AnswerText("a")))
    stage.run()
    assert stage.questions <= 7


def test_a_sidecar_that_says_nothing_is_told() -> None:
    stage = Stage((1.0, NothingCame()), (2.0, AskFailed(0, "gateway_gone", "gone")))
    stage.status = None
    run = stage.run()
    assert stage.shown[0] == "(the sidecar of this machine does not answer 1)"
    assert run.failed == AskFailed(0, "gateway_gone", "gone")
    assert run.status is BEFORE


def test_an_answer_that_is_stopped_keeps_what_has_come() -> None:
    stage = Stage((0.1, AnswerText("a")), (0.2, AnswerText("b")), (0.3, AnswerText("c")))
    run = stage.run(stop_at=0.25)
    assert (run.text, run.cut, run.facts()["finish_reason"]) == ("ab", True, "cut")


def test_an_answer_that_does_not_end_is_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_run, "MOST_TEXT", 100)
    stage = Stage(
        *((at / 10, AnswerText("x" * 40) if at % 2 else AnswerThought("y" * 10)) for at in range(50))
    )
    run = stage.run()
    assert run.failed is not None
    assert run.failed.message == "the answer is longer than any context"
    assert (run.text, stage.now) == ("x" * 80, 0.4)
