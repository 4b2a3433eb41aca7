"""`mesh demo` tells what came of the run; by its exit code too."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mesh.tools.demo import performance
from mesh.tools.demo.audience import Audience
from mesh.tools.demo.performance import StoppedBySignal
from mesh.tools.demo.recorded_run import AnswerPiece, RecordedRun
from mesh.wire.errors import MeshError
from tests.mesh.cli.conftest import Terminal
from tests.mesh.tools.demo.runs import DISTURBED, RUN, WORDS

OTHER = replace(RUN, disturbed=[*DISTURBED[:-1], AnswerPiece(9.0, " stay.")])


def comes(monkeypatch: pytest.MonkeyPatch, outcome: RecordedRun | BaseException) -> None:
    """Let the demo end so; an answer is going on then."""

    def main(audience: Audience) -> RecordedRun:
        audience.piece("A good")
        if isinstance(outcome, BaseException):
            raise outcome
        audience.answer_ends()
        return outcome

    monkeypatch.setattr(performance, "main", main)


def test_it_tells_the_pause_and_that_the_answers_are_the_same(
    mesh: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    comes(monkeypatch, RUN)
    outcome = mesh.run("demo")
    assert outcome.code == 0
    assert "the pause was 1.4 s; charlie leads now" in outcome.out
    assert f"identical to the undisturbed one: {len(WORDS)} of {len(WORDS)} characters" in outcome.out


def test_answers_that_differ_are_shown_from_where_they_part(
    mesh: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    comes(monkeypatch, OTHER)
    outcome = mesh.run("demo")
    assert outcome.code == 1
    assert f"DIFFERS from the undisturbed one after {len(WORDS) - 3} characters" in outcome.out
    assert "undisturbed: ...go.\n  with a kill: ...stay.\n" in outcome.out
    assert mesh.run("demo", "--json").code == 1


def test_a_script_gets_one_object(mesh: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    comes(monkeypatch, RUN)
    outcome = mesh.run("demo", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    assert json.loads(outcome.out) == RUN.as_json()


def test_a_picture_is_drawn(mesh: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    comes(monkeypatch, RUN)
    assert mesh.run("demo", "--picture", str(tmp_path / "demo.svg")).code == 0
    assert "kill -9 alpha" in (tmp_path / "demo.svg").read_text()


def test_a_picture_that_cannot_be_written_is_refused_before_the_demo(
    mesh: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    comes(monkeypatch, AssertionError("the demo has begun"))
    outcome = mesh.run("demo", "--picture", str(tmp_path / "nowhere" / "demo.svg"))
    assert outcome.code == 1
    assert "cannot write" in outcome.err
    assert mesh.run("demo", "--picture", str(tmp_path)).code == 1


@pytest.mark.parametrize(("number", "code"), [(2, 130), (15, 143)])
def test_a_signal_is_told_in_one_line(
    mesh: Terminal, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    comes(monkeypatch, StoppedBySignal(number))
    outcome = mesh.run("demo")
    assert (outcome.code, outcome.out) == (code, "    A good\n")
    assert outcome.err == "mesh: the demo was stopped; nothing of it is left\n"


def test_a_failure_is_told_on_a_line_of_its_own(mesh: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    comes(monkeypatch, MeshError("no luck", "the logs are kept in /tmp/x"))
    outcome = mesh.run("demo")
    assert (outcome.code, outcome.out) == (1, "    A good\n")
    assert outcome.err == "mesh: no luck\nhint: the logs are kept in /tmp/x\n"
