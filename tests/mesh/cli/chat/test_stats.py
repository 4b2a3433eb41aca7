from collections.abc import Iterator
from typing import cast

from mesh.cli.chat.answer_events import AnswerEvent, AnswerFinished, AnswerText
from mesh.cli.chat.answer_run import AnswerRun
from mesh.cli.chat.display import LinesDisplay
from mesh.cli.chat.stats import banner, stats_lines
from mesh.control.operations import Status
from tests.mesh.cli import examples

STATUS = cast(Status, examples.status())


class Quick:
    """An answer whose tokens come at these times."""

    def __init__(self, *times: float) -> None:
        self._times = times
        self.now = 0.0

    def events(self) -> Iterator[AnswerEvent]:
        for at in self._times:
            self.now = at
            yield AnswerText("a")
        yield AnswerFinished("stop")

    def close(self) -> None:
        self.now += 0.5


def test_the_banner_says_who_computes_and_how_to_leave() -> None:
    first, second = banner(STATUS).splitlines()
    assert first == "tiny.gguf, computed by alpha 0-7, beta 8-15 + head; beta leads"
    assert "Ctrl-D" in second
    loading = {"model": "tiny.gguf", "sha256": "", "state": "loading", "progress": 0.4, "reason": ""}
    status = cast(Status, examples.status(deployment=loading, plan=None, leader=None))
    assert banner(status).startswith("tiny.gguf (loading, 40%), computed by nobody yet; nobody leads")


def test_stats_tell_times_pauses_and_who_computed() -> None:
    source = Quick(0.5, 1.0, 3.0)
    run = AnswerRun(
        LinesDisplay(lambda text: None, lambda text: None), lambda: STATUS, lambda: source.now, STATUS
    )
    run.run(source)
    assert stats_lines(run) == [
        "first token   0.50 s",
        "answer        3 tokens in 3.50 s, 0.8 tokens/s",
        "longest pause 2.00 s: waiting for the next token",
        "computed by   alpha 0-7, beta 8-15 + head; beta leads",
    ]
