import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from mesh.cli import spawning
from mesh.cli.terminal import ProgressBar
from mesh.control import control_client
from mesh.control.control_errors import OperationRefused
from mesh.runtime.state import StateDir
from mesh.wire.errors import MeshError
from tests.mesh.cli.commands.conftest import Machine


def test_a_restart_ends_the_sidecar_and_starts_it_again_in_its_pool(machine: Machine) -> None:
    machine.run("join", "--port", "50060")
    outcome = machine.run("restart")
    assert outcome.code == 0, outcome.err
    first, second = machine.noted("started")
    assert outcome.err.splitlines() == [
        f"ending the sidecar (process {first['pid']}), and starting the installed program",
        "searching the tailnet",
    ]
    assert outcome.out.startswith("back in pool attic, 1 machine alive\n  this machine  alpha at ")
    assert not spawning._alive(first["pid"])
    assert second["pid"] != first["pid"]
    assert machine.runs()
    assert machine.noted("asked") == [{}, {}], "it is not asked to found or to find a pool"


def test_no_option_is_passed_on_for_the_sidecar_remembers_its_own(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.run("join", "--port", "50060")
    StateDir(machine.state_dir).save("settings", {"log_format": "json"})
    monkeypatch.setenv("MESH_PORT", "50061")
    assert machine.run("restart").code == 0
    argv = machine.noted("started")[1]["argv"]
    assert argv[argv.index("sidecar") + 1 :][0] == "--report-fd"
    assert len(argv[argv.index("sidecar") + 1 :]) == 2
    assert argv[argv.index("--log-format") + 1] == "json"


def test_a_log_format_that_makes_no_sense_is_not_kept(machine: Machine) -> None:
    machine.run("join")
    StateDir(machine.state_dir).save("settings", {"log_format": ["json"]})
    assert machine.run("--log-format", "json", "restart").code == 0
    argv = machine.noted("started")[1]["argv"]
    assert argv[argv.index("--log-format") + 1] == "json"


def test_where_nothing_runs_it_says_how_to_join_and_makes_nothing(machine: Machine) -> None:
    machine.state_dir = machine.state_dir / "none"
    outcome = machine.run("restart")
    assert outcome.code == 3
    assert outcome.err.endswith("hint: join one, or found one, with: mesh join\n")
    assert not machine.state_dir.exists()


def test_a_sidecar_in_no_pool_goes_on_and_none_is_founded(machine: Machine) -> None:
    machine.run("join")
    StateDir(machine.state_dir).abandon()
    outcome = machine.run("restart")
    assert outcome.code == 3
    assert "this machine has not joined a pool" in outcome.err
    assert machine.runs()
    assert len(machine.noted("started")) == 1


def test_who_was_evicted_meanwhile_is_told_so_and_joins_nothing(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.run("join")
    end = spawning.wait_until_it_ended

    def evicted(pid: int) -> bool:
        StateDir(machine.state_dir).note_expulsion("this machine was evicted from pool attic by beta")
        return end(pid)

    monkeypatch.setattr(spawning, "wait_until_it_ended", evicted)
    outcome = machine.run("restart")
    assert outcome.code == 3
    assert "this machine was evicted from pool attic by beta" in outcome.err
    assert len(machine.noted("asked")) == 1
    assert not spawning._alive(machine.noted("started")[1]["pid"])


def test_a_restart_whose_words_nobody_reads_on_leaves_a_sidecar(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.run("join")
    read: list[Any] = []

    def show(bar: ProgressBar, event: Any) -> None:
        if read:
            raise MeshError("nobody reads on")
        read.append(event)

    monkeypatch.setattr(ProgressBar, "show", show)
    assert machine.run("restart").code == 1
    assert len(machine.noted("started")) == 2
    assert machine.runs()


def test_why_the_installed_program_does_not_start_is_said(machine: Machine) -> None:
    machine.run("join")
    machine.behave(start="refuse")
    outcome = machine.run("restart")
    assert outcome.code == 1
    assert outcome.err.endswith("mesh: port 50052 is taken\nhint: use --port\n")


def test_a_sidecar_that_does_not_end_is_named(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.run("join")
    [started] = machine.noted("started")
    os.kill(started["pid"], signal.SIGSTOP)
    try:
        with monkeypatch.context() as patched:  # the end of the test takes its time
            patched.setattr(spawning, "END_LIMIT", 0.1)
            patched.setattr(control_client, "PATIENCE", 0.1)
            outcome = machine.run("restart")
    finally:
        os.kill(started["pid"], signal.SIGCONT)
    assert outcome.code == 1
    assert f"end it: kill -9 {started['pid']}, then: mesh join" in outcome.err
    assert len(machine.noted("started")) == 1


def test_a_sidecar_of_another_user_is_left_alone(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.run("join")

    def forbidden(process: int, number: int) -> None:
        raise PermissionError

    with monkeypatch.context() as patched:
        patched.setattr(os, "kill", forbidden)
        outcome = machine.run("restart")
    assert outcome.code == 1
    assert "runs as another user" in outcome.err
    assert machine.runs()


STRANGER = """
import socket, sys
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1])
listening.listen()
print("ready", flush=True)
while True:
    connection, _ = listening.accept()
    with connection:
        if connection.recv(4096):  # one that closes without a question asked the kernel who listens
            connection.sendall(b'{"error": {"code": "failed", "message": "what?", "hint": ""}}\\n')
"""


def test_a_sidecar_of_another_version_is_restarted_whatever_it_answers(machine: Machine) -> None:
    machine.run("join")
    [first] = machine.noted("started")
    os.kill(first["pid"], signal.SIGTERM)
    assert spawning.wait_until_it_ended(first["pid"])
    command = [sys.executable, "-c", STRANGER, machine.socket]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as old:
        assert old.stdout is not None
        assert old.stdout.readline() == b"ready\n"
        with pytest.raises(OperationRefused, match="what"):
            control_client.ask(machine.socket, "info")
        outcome = machine.run("restart")
    assert (outcome.code, old.returncode) == (0, -signal.SIGTERM), outcome.err
    assert outcome.out.startswith("back in pool attic")


def test_two_restarts_at_once_leave_one_sidecar(machine: Machine) -> None:
    machine.run("join")
    command = [sys.executable, "-m", "mesh.cli", "--state-dir", str(machine.state_dir), "restart"]
    restarts = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [one.communicate(timeout=60)[0].split(",")[0] for one in restarts] == ["back in pool attic"] * 2
    alive = [one["pid"] for one in machine.noted("started") if spawning._alive(one["pid"])]
    assert len(alive) == 1
