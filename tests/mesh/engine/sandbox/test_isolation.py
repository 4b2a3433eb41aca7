"""Which user an engine gets, and what is said of a machine that gives no cells."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.engine.sandbox import isolation
from mesh.engine.sandbox.confinement import Confinement
from mesh.engine.sandbox.engine_users import own_users
from mesh.engine.sandbox.isolation import Isolation, device_groups

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no cells")


@pytest.mark.skipif(os.getuid() != 0, reason="root alone gives files away")
def test_the_groups_of_devices_are_those_of_their_nodes_but_roots(tmp_path: Path) -> None:
    nodes: list[Path] = []
    for group in (44, 109, 44, 0):
        nodes.append(tmp_path / str(len(nodes)))
        nodes[-1].touch()
        os.chown(nodes[-1], 0, group)
    assert device_groups([*map(str, nodes), str(tmp_path / "unplugged")]) == (44, 109)


def test_root_alone_gives_an_engine_a_user_and_an_accelerators_engine_its_groups(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(isolation, "device_groups", lambda: (44,))
    processor, accelerator = Confinement(cell=True), Confinement(cell=True, device=True)
    assert Isolation(True).applied(accelerator, 0) == accelerator
    by_root = Isolation(True, changes_user=True)
    assert (by_root.applied(processor, 0).user, by_root.applied(processor, 0).groups) == (
        own_users()[0],
        (),
    )
    assert by_root.applied(accelerator, 1).groups == (44,)


def test_other_systems_have_no_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "freebsd14")
    assert isolation.isolation.__wrapped__() == Isolation(False)


@pytest.mark.parametrize("why", ["", "sandbox-exec: not permitted"])
def test_macos_has_its_own_confinement_or_says_why_not(monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.delenv("MESH_SEATBELT", raising=False)
    monkeypatch.setattr(isolation, "_failure", lambda wanted, argv: why)
    assert isolation.isolation.__wrapped__() == Isolation(False, why_no_cells=why, seatbelt=not why)


@LINUX
@pytest.mark.parametrize(
    ("user", "fails", "expected"),
    [
        (1000, [], Isolation(True)),
        (1000, ["refused"], Isolation(False, False, "refused")),
        (0, [], Isolation(True, True)),
        (0, ["owners"], Isolation(True, False)),
        (0, ["owners", "refused"], Isolation(False, False, "refused")),
    ],
)
def test_what_works_is_tried_from_the_best_on(
    monkeypatch: pytest.MonkeyPatch, user: int, fails: list[str], expected: Isolation
) -> None:
    said = iter([*fails, ""])
    monkeypatch.setattr(os, "getuid", lambda: user)
    monkeypatch.setattr(isolation, "_failure", lambda wanted: next(said))
    assert isolation.isolation.__wrapped__() == expected


@LINUX
def test_why_it_fails_is_what_the_launcher_says_last() -> None:
    assert isolation._failure(Confinement()) == ""
    assert "the sandbox failed" in isolation._failure(Confinement(cell=True, line=9999))


class Tries:
    """In place of starting a program: each try comes out as the next of ``outcomes``."""

    def __init__(self, *outcomes: Exception | int) -> None:
        self.outcomes = list(outcomes)

    def __call__(self, command: list[str], **_: object) -> "subprocess.CompletedProcess[str]":
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return subprocess.CompletedProcess(command, outcome, "", "refused\n" if outcome else "")


NO_ANSWERS: list[Exception | int] = [
    subprocess.TimeoutExpired("python", 20),
    BlockingIOError("no process"),
    -signal.SIGKILL,
]


@pytest.mark.parametrize(("last", "why"), [(0, ""), (126, "refused"), (-signal.SIGSYS, "refused")])
@pytest.mark.parametrize("no_answer", NO_ANSWERS)
def test_a_try_that_is_not_answered_is_made_again(
    monkeypatch: pytest.MonkeyPatch, no_answer: Exception | int, last: int, why: str
) -> None:
    monkeypatch.setattr(subprocess, "run", Tries(no_answer, no_answer, last))
    assert isolation._failure(Confinement()) == why


def test_no_answer_at_all_lets_no_engine_go_without_its_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = Tries(*NO_ANSWERS)
    monkeypatch.setattr(subprocess, "run", tries)
    assert isolation._failure(Confinement()) == ""
    assert tries.outcomes == []
