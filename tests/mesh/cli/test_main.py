import errno
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from mesh.cli.main import COMMANDS, load_command, main, options_of
from mesh.control.control_errors import ControlError, NotJoined
from mesh.runtime.program_build import build, version
from mesh.wire.versions import SPOKEN
from tests.mesh.cli import examples
from tests.mesh.cli.conftest import FakeSidecar, Terminal
from tests.mesh.cli.status_shape import ERROR, problems

PYTHON = [sys.executable, "-P", "-m", "mesh.cli"]


def test_alone_it_prints_help_with_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    help = capsys.readouterr().out
    assert all(f"  {name}" in help for name, command in COMMANDS.items() if command.summary)
    assert "\n  sidecar" not in help


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0
    assert "example:\n  mesh" in capsys.readouterr().out


def test_the_version_is_told_with_the_build_and_what_it_speaks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    said = f"mesh {version()}, build {build()}, speaks wire version {SPOKEN}\n"
    assert capsys.readouterr().out == said


def test_a_mistyped_command_is_a_usage_error_that_names_the_nearest(mesh: Terminal) -> None:
    outcome = mesh.run("statsu")
    assert outcome.code == 2
    assert "did you mean: mesh status" in outcome.err


def test_an_unknown_option_is_a_usage_error(mesh: Terminal) -> None:
    outcome = mesh.run("status", "--wach")
    assert outcome.code == 2
    hint = "did you mean --watch? see: mesh status --help"
    assert outcome.err == f"mesh: unrecognized arguments: --wach\nhint: {hint}\n"


def test_an_option_like_none_is_a_usage_error_that_names_the_help(mesh: Terminal) -> None:
    outcome = mesh.run("status", "--quux=4")
    assert outcome.err == "mesh: unrecognized arguments: --quux=4\nhint: see: mesh status --help\n"


def test_an_option_before_its_command_is_told_where_it_stands(mesh: Terminal) -> None:
    assert "hint: the options of a command stand behind it;" in mesh.run("--wait", "serve", "m").err


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_a_command_as_well_as_an_option(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for words in (["help", name], [name, "--help"]):
        with pytest.raises(SystemExit):
            main(words)
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] != ""


def test_help_alone_lists_the_commands_and_knows_the_words_of_others(mesh: Terminal) -> None:
    assert mesh.run("help").out == mesh.run("--help").out
    assert mesh.run("help", "run").err == mesh.run("run").err
    assert "did you mean: mesh status" in mesh.run("help", "staus").err


def test_help_before_a_command_is_that_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help", "serve"])
    assert "usage: mesh serve" in capsys.readouterr().out


def test_an_output_that_is_closed_is_no_mistake() -> None:
    closed = subprocess.run(
        ["bash", "-c", '"$@" >&-', "-", *PYTHON, "--version"], capture_output=True, text=True, check=False
    )
    assert (closed.returncode, closed.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_an_output_that_takes_nothing_more_is_told_in_a_sentence() -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        ended = subprocess.run(
            [*PYTHON, "--version"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert ended.returncode == 1
    assert ended.stderr.startswith("mesh: cannot write the output: No space left on device\nhint: ")
    assert len(ended.stderr.splitlines()) == 2


async def test_global_options_may_stand_behind_the_command(
    sidecar: FakeSidecar, state_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sidecar.answers["status"] = examples.status()
    argv = ["status", "--state-dir", str(state_dir), "--json"]
    assert await trio.to_thread.run_sync(main, argv) == 0
    assert '"attic"' in capsys.readouterr().out


@pytest.mark.parametrize(
    "command",
    [["status"], ["members"], ["stop"], ["plan"], ["invite"], ["models"], ["leave"]],
    ids=lambda command: str(command[0]),
)
def test_without_a_sidecar_the_exit_code_says_not_joined(mesh: Terminal, command: list[str]) -> None:
    outcome = mesh.run(*command)
    assert outcome.code == 3
    assert outcome.out == ""
    assert outcome.err.startswith("mesh: ")
    assert "hint: " in outcome.err


@pytest.mark.parametrize("command", ["status", "members", "plan", "invite", "models"])
def test_without_a_sidecar_json_is_still_one_object(mesh: Terminal, command: str) -> None:
    outcome = mesh.run(command, "--json")
    assert outcome.code == 3
    assert problems(outcome.json(), ERROR, "error") == []
    assert outcome.json()["error"]["code"] == "not_joined"
    assert outcome.err == ""


async def test_a_sidecar_without_pool_is_not_joined_either(mesh: Terminal, sidecar: FakeSidecar) -> None:
    sidecar.answers["status"] = NotJoined()
    outcome = await mesh("status", "--json")
    assert (outcome.code, outcome.json()["error"]["code"]) == (3, "not_joined")


async def test_what_the_sidecar_refuses_is_said_with_its_hint(mesh: Terminal, sidecar: FakeSidecar) -> None:
    sidecar.answers["stop"] = ControlError("only owners may stop", "ask beta")
    outcome = await mesh("stop")
    assert (outcome.code, outcome.err) == (1, "mesh: only owners may stop\nhint: ask beta\n")


async def test_a_hostile_message_cannot_drive_the_terminal(mesh: Terminal, sidecar: FakeSidecar) -> None:
    sidecar.answers["stop"] = ControlError("bad \x1b[2J name")
    assert (await mesh("stop")).err == "mesh: bad ?[2J name\n"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/tmp/a"), "/tmp/a: no space left on device"),
        (OSError(errno.EMFILE, "Too many open files"), "now: too many open files"),
        (FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"), "no usable"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/x"), "a mistake in mesh itself"),
    ],
)
async def test_a_machine_that_has_no_room_is_no_mistake_in_mesh(
    mesh: Terminal, monkeypatch: pytest.MonkeyPatch, error: OSError, told: str
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr("mesh.cli.commands.status.run", fails)
    outcome = await mesh("status")
    assert outcome.code == 1
    assert told in outcome.err
    assert "hint: " in outcome.err


async def test_a_mistake_in_mesh_shows_no_traceback_unless_asked(
    mesh: Terminal, sidecar: FakeSidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    sidecar.answers["status"] = {"pool": None}
    outcome = await mesh("status")
    assert outcome.code == 1
    assert "Traceback" not in outcome.err
    assert "MESH_DEBUG=1" in outcome.err
    monkeypatch.setenv("MESH_DEBUG", "1")
    with pytest.raises(KeyError):
        await mesh("status")


async def test_json_from_the_environment_also_shapes_errors(
    mesh: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESH_JSON", "1")
    assert (await mesh("status")).json()["error"]["code"] == "not_joined"


def test_a_status_needs_no_heavy_library(state_dir: Path) -> None:
    heavy = ["trio", "numpy", "ssl", "cryptography", "rich", "httpx", "asyncio", "psutil", "zeroconf"]
    program = (
        "import sys; from mesh.cli.main import main; "
        f"code = main(['--state-dir', {str(state_dir)!r}, 'status']); "
        f"print(code, [name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "3 []\n"


def test_the_module_runs_as_a_program(state_dir: Path) -> None:
    done = subprocess.run(
        [*PYTHON, "--state-dir", str(state_dir), "status"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 3
    assert done.stderr.startswith("mesh: no sidecar is running")


def test_the_program_and_what_it_starts_write_no_core_files() -> None:
    program = (
        "import resource; from mesh.cli import main; main.main = lambda: 5; "
        "print(main.run(), *resource.getrlimit(resource.RLIMIT_CORE))"
    )
    assert subprocess.check_output([sys.executable, "-c", program]).split() == [b"5", b"0", b"0"]


def test_what_the_program_makes_is_this_users_alone_whatever_the_umask(tmp_path: Path) -> None:
    program = (
        f"import os; from mesh.cli import main; main.main = lambda: os.makedirs({str(tmp_path / 'a/b')!r}); "
        "main.run()"
    )
    subprocess.run([sys.executable, "-c", program], umask=0, check=True)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("a", "a/b")] == [0o700, 0o700]


def test_no_two_options_of_a_command_share_a_name() -> None:
    for name in COMMANDS:
        keys = [key for option in options_of(name, load_command(name)).known for key in option.keys]
        assert len(keys) == len(set(keys)), name
