import io
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mesh.cli import spawning
from mesh.cli.commands.join import summary
from mesh.cli.main import main
from mesh.control import paths
from mesh.engine.devices import EngineDevice, processor_alone
from mesh.tools import devices_here
from tests.mesh.cli import examples
from tests.mesh.cli.commands.conftest import Machine
from worker import hardware

REFUSED = {"error": ["this invite has expired", "ask for another: mesh invite"]}


def test_the_first_join_starts_a_sidecar_and_says_all_there_is_to_know(machine: Machine) -> None:
    outcome = machine.run("join")
    assert (outcome.code, outcome.err) == (0, "searching the tailnet\n")
    assert (
        outcome.out
        == f"""\
founded pool attic, 1 machine alive
  this machine  alpha at 10.0.0.1:50052
  accelerator   cpu Xeon (no GPU found)
  engine        building, 25% (compiling)
  leader        alpha
  API           http://127.0.0.1:50080/v1
  next machine  mesh join mesh1:secret
  to leave      mesh --state-dir {machine.state_dir} leave
"""
    )
    assert machine.runs()
    assert machine.noted("asked") == [{}]


def test_where_the_api_is_open_to_others_the_line_for_them_is_shown() -> None:
    url = "http://10.0.0.1:50080/v1"
    text = summary(examples.joined(listen=url), "mesh")  # type: ignore[arg-type]
    assert f'  others        curl {url}/models -H "Authorization: Bearer $(cat FILE)"\n' in text
    assert "others" not in summary(examples.joined(), "mesh")  # type: ignore[arg-type]


def test_joining_again_says_so_and_starts_nothing(machine: Machine) -> None:
    machine.run("join")
    outcome = machine.run("join")
    assert outcome.code == 0
    assert outcome.out.startswith("already in pool attic")
    assert len(machine.noted("started")) == 1


def test_a_join_in_another_home_leaves_the_first_ones_sidecar_alone(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = os.environ["XDG_STATE_HOME"]
    machines = []
    try:
        for name in ("first", "second"):
            monkeypatch.setenv("XDG_STATE_HOME", f"{home}/{name}")
            assert main(["join", "--found"]) == 0
            machines.append(Machine(Path(home, name, "frankenstein-mesh"), machine.capture))
        assert [one.runs() for one in machines] == [True, True]
        assert [len(one.noted("started")) for one in machines] == [1, 1]
    finally:
        for one in machines:
            one.end()


def test_nothing_that_a_join_makes_is_open_to_others_whatever_the_umask(machine: Machine) -> None:
    machine.state_dir = machine.state_dir / "deep" / "state"
    command = [sys.executable, "-m", "mesh.cli", "--state-dir", str(machine.state_dir), "join"]
    subprocess.run(command, umask=0, check=True, capture_output=True)
    made = [machine.state_dir.parent, machine.state_dir, Path(machine.socket).parent]
    assert [oct(path.stat().st_mode & 0o777) for path in made] == ["0o700"] * 3
    files = [path for path in machine.state_dir.rglob("*") if not path.is_dir()]
    assert [path for path in [*files, Path(machine.socket)] if path.stat().st_mode & 0o077] == []


def test_a_node_that_may_not_invite_says_who_may(machine: Machine) -> None:
    machine.behave(join={"result": examples.joined(how="joined", token=None, leader=None, rights=["work"])})
    out = machine.run("join").out
    assert "ask an owner of the pool for: mesh invite" in out
    assert "none yet" in out


def test_an_owner_without_an_open_invite_is_told_how_to_make_one(machine: Machine) -> None:
    machine.behave(join={"result": examples.joined(how="joined", token=None)})
    assert "invite makes the line for it" in machine.run("join").out


def test_an_invite_reaches_the_sidecar_but_neither_its_arguments_nor_its_environment(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESH_TOKEN", "mesh1:abcdef")
    assert machine.run("join").code == 0
    [started] = machine.noted("started")
    assert "abcdef" not in json.dumps(started)
    assert machine.noted("asked") == [{"token": "mesh1:abcdef"}]


@pytest.mark.parametrize(
    ("argv", "asked"),
    [
        (["mesh1:abc"], {"token": "mesh1:abc"}),
        (["--token", "mesh1:abc"], {"token": "mesh1:abc"}),
        (["-"], {"token": "mesh1:typed"}),
        (["--token", "-"], {"token": "mesh1:typed"}),
        (["10.0.0.9"], {"host": "10.0.0.9"}),
        (["attic:50060", "--token", "mesh1:abc"], {"host": "attic:50060", "token": "mesh1:abc"}),
        (["--found", "--no-service"], {"found": True}),
    ],
)
def test_where_to_join_is_understood(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, argv: list[str], asked: dict[str, Any]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("mesh1:typed\n"))
    assert machine.run("join", *argv).code == 0
    assert machine.noted("asked") == [asked]


@pytest.mark.parametrize(
    "argv",
    [
        ["mesh1:abc", "--token", "mesh1:def"],
        ["--found", "mesh1:abc"],
        ["--found", "10.0.0.9"],
        ["no host"],
        ["--token", "abc"],
        ["-"],
        ["--port", "70000"],
        ["--memory", "much"],
        ["--listen", "0.0.0.0"],
        ["--api-key", "/dev/null"],
        ["--name", ""],
        ["--name", "x" * 64],
        ["one", "two"],
    ],
    ids=" ".join,
)
def test_what_makes_no_sense_is_a_usage_error_and_starts_nothing(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, argv: list[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("no invite\n"))
    assert machine.run("join", *argv).code == 2
    assert machine.noted("started") == []


def test_an_api_key_that_is_not_there_is_an_error(machine: Machine) -> None:
    outcome = machine.run("join", "--listen", "0.0.0.0", "--api-key", "/nowhere/key")
    assert outcome.code == 1
    assert "there is no API key at /nowhere/key" in outcome.err


def test_a_join_that_fails_ends_the_sidecar_it_started(machine: Machine) -> None:
    machine.behave(join=REFUSED)
    outcome = machine.run("join", "mesh1:old")
    assert outcome.code == 1
    assert outcome.err.endswith("mesh: this invite has expired\nhint: ask for another: mesh invite\n")
    assert not machine.runs()
    [started] = machine.noted("started")
    assert not spawning._alive(started["pid"])


def test_why_a_sidecar_could_not_start_is_said_in_its_own_words(machine: Machine) -> None:
    machine.behave(start="refuse")
    outcome = machine.run("join")
    assert (outcome.code, outcome.err) == (1, "mesh: port 50052 is taken\nhint: use --port\n")


def test_a_mistake_in_the_sidecar_is_told_in_short_and_logged_in_full(machine: Machine) -> None:
    machine.behave(start="stumble")
    outcome = machine.run("join")
    assert (outcome.code, "Traceback" in outcome.err) == (1, False)
    assert "ZeroDivisionError('oops')" in outcome.err
    assert "Traceback" in machine.run("logs").out


def test_of_a_sidecar_that_crashed_the_last_words_are_shown(machine: Machine) -> None:
    paths_log = Path(paths.log_path(str(machine.state_dir)))
    paths_log.write_text("of an earlier run\n")
    machine.behave(start="crash")
    outcome = machine.run("join")
    assert outcome.code == 1
    assert "the sidecar ended with code 3\n      it all went wrong\n" in outcome.err
    assert "of an earlier run" not in outcome.err


def test_a_sidecar_that_does_not_come_up_is_ended(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[spawning.Started] = []
    start = spawning.start

    def noting(*args: Any) -> spawning.Started:
        started.append(start(*args))
        return started[-1]

    monkeypatch.setattr(spawning, "start", noting)
    monkeypatch.setattr(spawning, "START_LIMIT", 0.5)
    machine.behave(start="hang")
    outcome = machine.run("join")
    assert outcome.code == 1
    assert "did not come up" in outcome.err
    assert [spawning._alive(one.process.pid) for one in started] == [False]


def test_more_memory_than_there_is_is_refused_with_what_there_is(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = hardware.MachineMemory(total=8 << 30, available=5 << 30)
    monkeypatch.setattr(hardware, "measure", lambda: there)
    monkeypatch.setattr(devices_here, "devices_here", lambda: processor_alone("EPYC"))
    outcome = machine.run("join", "--memory", "500G")
    assert outcome.code == 2
    assert "--memory offers 500 GiB, and this machine has 8.0 GiB\n" in outcome.err
    assert "offer what is free: --memory 4G, or leave it out" in outcome.err
    assert machine.noted("started") == []
    assert machine.run("join", "--memory", "8G").code == 0


def test_devices_that_are_not_there_are_refused_with_those_that_are(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = EngineDevice("CUDA0", "cuda", "NVIDIA L4", 24 << 30, 22 << 30)
    monkeypatch.setattr(hardware, "measure", lambda: hardware.MachineMemory(64 << 30, 50 << 30))
    monkeypatch.setattr(devices_here, "devices_here", lambda: (card, *processor_alone("EPYC")))
    outcome = machine.run("join", "--memory", "cuda1=20G,cpu=0")
    assert outcome.code == 2
    assert "--memory names cuda1, and there is no such device here\n" in outcome.err
    assert "hint: there are: CUDA0 (24.0 GiB), CPU (64.0 GiB)" in outcome.err
    monkeypatch.setenv("MESH_MEMORY", "8G")
    outcome = machine.run("join")
    assert outcome.code == 2
    assert "say how much of each: --memory cuda0=20G,cpu=39G" in outcome.err
    assert machine.noted("started") == []
    assert machine.run("join", "--memory", "CUDA0=20G,cpu=0").code == 0
    [started] = machine.noted("started")
    assert f"--memory=cpu=0,cuda0={20 << 30}" in started["argv"]


def test_before_the_engine_is_there_any_devices_may_be_named(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices_here, "devices_here", lambda: None)
    assert machine.run("join", "--memory", "cuda7=20G").code == 0


def test_options_that_shape_the_node_are_passed_on(machine: Machine) -> None:
    machine.run("join", "--port", "0", "--memory", "60M", "--no-work", "--lead", "--name", "-x y")
    [started] = machine.noted("started")
    passed = started["argv"][started["argv"].index("sidecar") :]
    assert {"--port=0", f"--memory={60 << 20}", "--no-work", "--lead", "--name=-x y"} < set(passed)
    assert not any(argument.startswith(("--bind", "--api-port")) for argument in passed)


def test_the_sidecar_reads_no_configuration_again(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "mesh.toml").write_text("port = 50070\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MESH_CONFIG", "mesh.toml")
    outcome = machine.run("join")
    assert outcome.code == 0, outcome.err
    assert "--port=50070" in machine.noted("started")[0]["argv"]


def test_the_same_options_change_nothing_and_others_restart_the_sidecar(machine: Machine) -> None:
    machine.run("join", "--port", "50060")
    machine.run("join", "--port", "50060")
    assert len(machine.noted("started")) == 1
    outcome = machine.run("join", "--port", "50061")
    assert outcome.code == 0
    assert "restarting the sidecar with the new options" in outcome.err
    first, second = machine.noted("started")
    assert not spawning._alive(first["pid"])
    assert "--port=50061" in second["argv"]


def test_two_joins_at_once_start_one_sidecar(machine: Machine) -> None:
    command = [sys.executable, "-m", "mesh.cli", "--state-dir", str(machine.state_dir), "join"]
    joins = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    heads = sorted(join.communicate(timeout=60)[0].split(",")[0] for join in joins)
    assert heads == ["already in pool attic", "founded pool attic"]
    assert len(machine.noted("started")) == 1


def test_a_log_that_has_grown_large_is_set_aside(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spawning, "LARGEST_LOG", 10)
    log = machine.state_dir / "mesh.log"
    log.write_text("more than ten bytes\n")
    machine.run("join")
    assert (machine.state_dir / "mesh.log.1").read_text() == "more than ten bytes\n"
    assert "more than" not in log.read_text()


def test_a_state_directory_that_cannot_be_is_an_error(machine: Machine) -> None:
    machine.state_dir = machine.state_dir / "file" / "state"
    machine.state_dir.parent.write_text("")
    outcome = machine.run("join")
    assert outcome.code == 1
    assert "choose another directory with --state-dir" in outcome.err


def test_in_the_foreground_the_sidecar_is_this_process_until_ctrl_c(machine: Machine) -> None:
    command = [
        sys.executable,
        "-m",
        "mesh.cli",
        "--state-dir",
        str(machine.state_dir),
        "join",
        "--foreground",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], 30)[0]
        assert process.stdout.readline() == "founded pool attic, 1 machine alive\n"
        [started] = machine.noted("started")
        assert started["pid"] == process.pid
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "searching\n")


@pytest.mark.parametrize(
    "given", [["mesh1:hidden"], ["--token", "mesh1:hidden"], ["--token=mesh1:hidden"], []]
)
def test_in_the_foreground_a_token_is_on_no_command_line_that_lives(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, given: list[str]
) -> None:
    if not given:
        monkeypatch.setenv("MESH_TOKEN", "mesh1:hidden")
    base = [sys.executable, "-m", "mesh.cli", "--state-dir", str(machine.state_dir)]
    command = [*base, "join", *given, "--foreground"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], 30)[0]
        assert process.stdout.readline() == "founded pool attic, 1 machine alive\n"
        [started] = machine.noted("started")
        assert started["pid"] == process.pid
        assert "hidden" not in str(started)
        assert [entry["join"] for entry in machine.noted("joins")] == [{"token": "mesh1:hidden"}]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


def test_a_second_one_in_the_foreground_is_refused(machine: Machine) -> None:
    machine.run("join")
    outcome = machine.run("join", "--foreground")
    assert outcome.code == 1
    assert "a sidecar is already running here" in outcome.err
