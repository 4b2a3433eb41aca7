"""Users for a sidecar's engines: no account's, and no other sidecar's."""

import grp
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.engine.sandbox import engine_users as module
from mesh.engine.sandbox.engine_users import ENGINES, engine_users

FIRST, LAST = module._FIRST_USER, module._FIRST_USER + module._USERS - 1
PROCESSES = st.integers(1, 1 << 22)
NOWHERE = Path("/dev/null/locks")
"""A place where no file can be."""
SIDECAR = """
import sys
from pathlib import Path
from mesh.engine.sandbox.engine_users import engine_users
print(engine_users(int(sys.argv[1]), Path(sys.argv[2])).start, flush=True)
sys.stdin.read()
"""


def account_of(taken: Callable[[int], bool]) -> Callable[[int], object]:
    """In place of a look into the accounts."""

    def look(number: int) -> object:
        if not taken(number):
            raise KeyError(number)
        return number

    return look


@contextmanager
def sidecar(process: int, locks: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """One that runs, with its first user."""
    command = [sys.executable, "-c", SIDECAR, str(process), str(locks)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        try:
            yield running, int(running.stdout.readline())
        finally:
            running.kill()


@given(process=PROCESSES)
def test_the_engines_of_a_sidecar_have_users_of_their_own(process: int) -> None:
    users = engine_users(process, NOWHERE)
    assert len(set(users)) == len(ENGINES)
    assert FIRST <= min(users) <= max(users) <= LAST


def test_sidecars_that_were_started_one_after_the_other_share_no_user() -> None:
    users = [user for process in range(4000, 4060) for user in engine_users(process, NOWHERE)]
    assert len(users) == len(set(users))


def test_two_sidecars_share_no_user_whatever_their_process_ids(tmp_path: Path) -> None:
    locks = tmp_path / "locks"
    with sidecar(4000, locks) as (_, one), sidecar(4000 + module._BLOCKS, locks) as (_, other):
        assert abs(one - other) >= len(ENGINES)
    assert locks.stat().st_mode & 0o777 == 0o600


def test_the_users_of_a_sidecar_that_was_killed_are_free_again(tmp_path: Path) -> None:
    locks = tmp_path / "locks"
    with sidecar(4000, locks) as (running, first):
        running.send_signal(signal.SIGKILL)
        running.wait()
        with sidecar(4000, locks) as (_, next_one):
            assert next_one == first


def test_more_sidecars_than_there_are_users_run_nevertheless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_lock", lambda file, block: False)
    assert engine_users(4000, tmp_path / "locks") == engine_users(4000, NOWHERE)


USERS = st.sets(st.integers(FIRST, LAST), max_size=9)


@given(process=PROCESSES, users=USERS, groups=USERS)
def test_no_account_and_no_group_lends_an_engine_its_number(
    process: int, users: set[int], groups: set[int]
) -> None:
    usual = engine_users(process, NOWHERE)[3]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pwd, "getpwuid", account_of(lambda user: user in users | {usual}))
        patched.setattr(grp, "getgrgid", account_of(lambda group: group in groups))
        found = engine_users(process, NOWHERE)
    assert FIRST <= min(found) <= max(found) <= LAST
    assert not set(found) & (users | groups | {usual})


def test_where_every_user_is_taken_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pwd, "getpwuid", account_of(lambda user: True))
    with pytest.raises(OSError, match="every user"):
        engine_users(1, NOWHERE)
