"""A confined program computes, reads its model and serves its port; it reaches, changes and gains nothing."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mesh.engine.process.child import guarded_argv
from mesh.engine.sandbox import landlock, launcher, seccomp
from mesh.engine.sandbox.confinement import Confinement
from mesh.engine.sandbox.isolation import Isolation, isolation
from mesh.engine.sandbox.launcher import missing, readable
from tests.lab.local_user import CHECKOUT, nobody
from tests.mesh.engine.sandbox.confined import (
    HAS_CELLS,
    IS_ROOT,
    SECRETS,
    Outcome,
    in_a_cell,
    on_loopback,
    tried,
    tried_by_nobody,
)

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such sandbox")
CONFINED = pytest.mark.skipif(bool(missing()), reason=f"this machine lacks {missing()}")
CELLS = pytest.mark.skipif(not HAS_CELLS, reason=f"no cells: {isolation().why_no_cells}")
ROOT = pytest.mark.skipif(not IS_ROOT, reason="root alone gives a program another user")

NOTHING = Confinement().command([])[-1]
PROCESSOR, ACCELERATOR = Confinement(), Confinement(device=True)
BY_DEVICE = pytest.mark.parametrize("wanted", [PROCESSOR, ACCELERATOR], ids=["processor", "accelerator"])
# Drivers size shared memory by the call that makes files larger: there the owner of the files watches them.
NOT_BY_THE_KERNEL = {PROCESSOR: [], ACCELERATOR: ["fill its file"]}


def expect_confined(outcome: Outcome, wanted: Confinement) -> None:
    assert outcome.is_kept_from == []
    assert outcome.got_out == NOT_BY_THE_KERNEL[wanted]
    assert (outcome.status["CapEff"], outcome.status["NoNewPrivs"]) == ("0" * 16, "1")
    assert outcome.status["Seccomp"] == "2"
    assert outcome.descriptors == [0, 1, 2]
    assert not set(SECRETS) & set(outcome.variables)


@CONFINED
@CELLS
@BY_DEVICE
def test_a_captive_in_a_cell_gets_nowhere(tmp_path: Path, wanted: Confinement) -> None:
    expect_confined(tried(tmp_path, in_a_cell(wanted)), wanted)


@CONFINED
@CELLS
@ROOT
@BY_DEVICE
def test_a_captive_in_a_cell_as_a_user_of_its_own_gets_nowhere(tmp_path: Path, wanted: Confinement) -> None:
    applied = Isolation(True, changes_user=True).applied(in_a_cell(wanted), 0)
    outcome = tried(tmp_path, applied)
    expect_confined(outcome, wanted)
    assert set(outcome.status["Uid"].split()) == {str(applied.user)}


@CONFINED
@BY_DEVICE
def test_a_captive_on_the_machines_loopback_gets_nowhere(tmp_path: Path, wanted: Confinement) -> None:
    expect_confined(tried(tmp_path, on_loopback(wanted)), wanted)


@CONFINED
@CELLS
def test_the_program_that_a_captive_becomes_gets_nowhere(tmp_path: Path) -> None:
    shell = ["/bin/sh", "-c", 'exec "$@"', "sh"]
    expect_confined(tried(tmp_path, in_a_cell(PROCESSOR), runner=shell), PROCESSOR)


@CONFINED
@ROOT
@BY_DEVICE
@pytest.mark.parametrize("place", [pytest.param(in_a_cell, marks=CELLS), on_loopback])
def test_a_captive_of_an_ordinary_user_gets_nowhere(
    tmp_path: Path, wanted: Confinement, place: Callable[[Confinement], Confinement]
) -> None:
    outcome = tried_by_nobody(tmp_path, place(wanted))
    expect_confined(outcome, wanted)
    assert set(outcome.status["Uid"].split()) == {str(nobody())}


@LINUX
def test_without_landlock_the_program_runs_and_what_is_missing_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    monkeypatch.setattr(seccomp, "available", lambda: False)
    first = [lack.split(" ")[0].rstrip(":") for lack in missing()]
    assert first == ["Landlock", "Landlock", "seccomp", "Landlock"]
    assert launcher.is_open()
    monkeypatch.setattr(landlock, "abi", lambda: 4)
    assert len(missing()) == 2
    monkeypatch.setattr(seccomp, "available", lambda: True)
    assert missing() == []
    assert not launcher.is_open()
    monkeypatch.setattr(seccomp, "available", lambda: False)
    script = (
        "from mesh.engine.sandbox import landlock, launcher, seccomp\n"
        "landlock.abi, seccomp.available = (lambda: 0), (lambda: False)\n"
        "launcher.main([sys.argv[1], 'grep', 'NoNewPrivs', '/proc/self/status'])"
    )
    command = [sys.executable, "-c", f"import sys\n{script}", NOTHING]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert result.stdout.split() == ["NoNewPrivs:", "1"]


LIMITS = """
import resource, sys
for name in sys.argv[1:]:
    print(*resource.getrlimit(getattr(resource, "RLIMIT_" + name)))
"""


@LINUX
@pytest.mark.parametrize(("alone", "threads"), [(False, 16384), pytest.param(True, 4096, marks=CELLS)])
def test_what_a_program_could_take_from_others_has_limits(alone: bool, threads: int) -> None:
    most = {"NPROC": threads, "NOFILE": 1024, "SIGPENDING": 1024, "RTPRIO": 0, "NICE": 0, "CORE": 0}
    command = Confinement(cell=alone).command([sys.executable, "-ISc", LIMITS, *most])
    told = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    limits = [tuple(map(int, line.split())) for line in told.stdout.splitlines()]
    assert [soft for soft, _ in limits] == [hard for _, hard in limits]
    assert all(0 <= hard <= bound for (_, hard), bound in zip(limits, most.values(), strict=True))


OLD_LANDLOCK = """
import sys
from mesh.engine.sandbox import landlock, launcher
landlock.abi = lambda: int(sys.argv[1])
launcher.main(sys.argv[2:])
"""
EMPTYING = """
import os, sys
for path in sys.argv[1:]:
    opens = [lambda access=access: os.open(path, access | os.O_TRUNC) for access in (0, 3)]
    for empty in (lambda: os.truncate(path, 0), *opens):
        try:
            empty()
        except PermissionError:
            print("refused")
"""


@CONFINED
@pytest.mark.parametrize("version", range(1, landlock.abi() + 1))
def test_no_version_of_landlock_lets_a_program_empty_what_it_may_not_write(
    tmp_path: Path, version: int
) -> None:
    files = [tmp_path / "secret", tmp_path / "model"]
    for file in files:
        file.write_text("old")
    given = Confinement(reads=(str(files[1]),)).command([sys.executable, "-ISc", EMPTYING, *map(str, files)])
    command = [sys.executable, "-c", OLD_LANDLOCK, str(version), *given[4:]]
    told = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert told.stdout.split() == ["refused"] * 6, told.stderr
    assert [file.read_text() for file in files] == ["old", "old"]


def test_other_systems_say_so_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    (lack,) = missing()
    assert "darwin" in lack


def test_libraries_beside_the_program_and_where_variables_point_are_readable(tmp_path: Path) -> None:
    folders = readable(
        str(tmp_path / "bin" / "rpc-server"), {"LD_LIBRARY_PATH": "/a/b::relative:/c", "OTHER": "/d"}
    )
    assert {str(tmp_path / "bin"), str(tmp_path / "lib"), "/a/b", "/c", "/usr"} <= set(folders)
    assert not {"/d", "relative", "", "/", str(tmp_path)} & set(folders)


@LINUX
@pytest.mark.parametrize("program", ["true", shutil.which("true")])
def test_a_program_is_found_by_its_name_or_its_path(program: str) -> None:
    assert subprocess.run(Confinement().command([program]), timeout=30, check=False).returncode == 0


@CELLS
@ROOT
def test_a_link_that_its_user_does_not_see_is_followed(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "linked").symlink_to("/bin/true")
    applied = Isolation(True, changes_user=True).applied(in_a_cell(PROCESSOR), 0)
    command = replace(applied, hears=()).command([str(tmp_path / "linked")])
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


@LINUX
def test_a_start_waits_for_no_module_that_it_can_do_without() -> None:
    script = "import sys; from mesh.engine.sandbox import launcher; print(*sys.modules)"
    bare = f"import sys; sys.path.insert(0, {str(CHECKOUT)!r}); {script}"
    command = [sys.executable, "-I", "-S", "-c", bare]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    slow = {"dataclasses", "inspect", "typing", "pathlib", "shutil", "platform", "subprocess", "trio"}
    assert not slow & set(done.stdout.split())


def test_a_program_that_is_not_there_is_said() -> None:
    command = Confinement().command(["/usr/bin/not-there-at-all"])
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 127
    assert "not-there-at-all" in result.stderr


@LINUX
def test_a_layer_that_fails_ends_the_program_before_it_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(launcher, "become_confined", fails)
    assert launcher.main([NOTHING, "true"]) == 126
    assert "the sandbox failed" in capsys.readouterr().err


@LINUX
@pytest.mark.parametrize("changes_user", [False, pytest.param(True, marks=[CELLS, ROOT])])
def test_the_wish_to_die_with_the_parent_survives(changes_user: bool) -> None:
    script = "import ctypes; n = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(n)); print(n.value)"
    wanted = replace(Isolation(True, changes_user).applied(Confinement(), 0), cell=changes_user)
    argv = guarded_argv(wanted.command([sys.executable, "-ISc", script]), parent=os.getpid())
    result = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30)
    assert int(result.stdout) == signal.SIGKILL
