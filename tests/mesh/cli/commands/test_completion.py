import os
import pty
import re
import select
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.cli.commands import completion
from mesh.cli.main import COMMANDS, load_command, options_of
from tests.mesh.cli.conftest import Terminal

BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
function=$(complete -p mesh | sed 's/.* -F \\([^ ]*\\) .*/\\1/')
"$function" && printf '%s\\n' "${COMPREPLY[@]}"
"""
CASES = [
    (["st"], {"status", "stop"}),
    (["serve", "--c"], {"--ctx", "--copies", "--config"}),
    (["serve", "--wait", ""], {"a.gguf", "folder"}),
    (["--log-format", ""], {"text", "json"}),
    (["--state-dir", "folder", "ser"], {"serve"}),
    (["join", "--config", "o"], {"other.toml"}),
    (["status", "--state-dir", ""], {"folder"}),
    (["invite", "--rights", "work,ask,"], {"work,ask,lead", "work,ask,lead,own"}),
    (["completion", ""], {"bash", "zsh", "fish"}),
    (["help", "st"], {"status", "stop"}),
]
WAIT_SECONDS = 60.0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a model, another file, a folder."""
    folder = tmp_path / "work"
    (folder / "folder").mkdir(parents=True)
    for name in ("a.gguf", "other.toml"):
        (folder / name).touch()
    monkeypatch.chdir(folder)
    return folder


def script(mesh: Terminal, tmp_path: Path, shell: str) -> Path:
    outcome = mesh.run("completion", shell)
    assert (outcome.code, outcome.err) == (0, "")
    path = tmp_path / f"script.{shell}"
    path.write_text(outcome.out)
    return path


def needed(shell: str) -> str:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    return found


@pytest.mark.parametrize(
    ("words", "offered"),
    CASES,
    ids=lambda value: " ".join(value if isinstance(value, list) else sorted(value)),
)
def test_bash_completes_commands_options_choices_and_files(
    mesh: Terminal, tmp_path: Path, folder: Path, words: list[str], offered: set[str]
) -> None:
    command = ["bash", "--norc", "-c", BASH, "bash", str(script(mesh, tmp_path, "bash")), "mesh", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_SECONDS, check=True)
    assert set(done.stdout.split()) == offered


@pytest.mark.parametrize(
    ("words", "offered"),
    CASES,
    ids=lambda value: " ".join(value if isinstance(value, list) else sorted(value)),
)
def test_fish_completes_the_same(
    mesh: Terminal, tmp_path: Path, folder: Path, words: list[str], offered: set[str]
) -> None:
    line = " ".join(["mesh", *words])
    program = 'source "$argv[1]"; complete -C "$argv[2]"'
    command = [needed("fish"), "--no-config", "-c", program, str(script(mesh, tmp_path, "fish")), line]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_SECONDS, check=True)
    assert {one.split("\t")[0].rstrip("/") for one in done.stdout.splitlines()} == offered


class Zsh:
    """An interactive zsh that has read a script of ours."""

    def __init__(self, path: Path, dump: Path) -> None:
        zsh = needed("zsh")
        self.process, self._terminal = pty.fork()
        if self.process == 0:
            os.execve(zsh, [zsh, "-f", "-i"], {**os.environ, "TERM": "dumb"})
        self.type(f"unsetopt ZLE_BRACKETED_PASTE 2>/dev/null; autoload -U compinit; compinit -u -d {dump}\n")
        self.type(f'eval "$(cat {path})"; mesh() {{ echo "asked: $*."; }}; PS1="rea""dy>"\n')
        self.shows(r"ready>")

    def type(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def shows(self, pattern: str) -> str:
        """Read on until the pattern was shown, which is returned."""
        text = ""
        while (match := re.search(pattern, text)) is None:
            ready, _, _ = select.select([self._terminal], [], [], WAIT_SECONDS)
            assert ready, f"no {pattern} in {text!r}"
            text += os.read(self._terminal, 4096).decode(errors="replace")
        return match[0]

    def close(self) -> None:
        os.close(self._terminal)
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)


@pytest.fixture
def zsh(mesh: Terminal, tmp_path: Path, folder: Path) -> Iterator[Zsh]:
    needed("zsh")
    shell = Zsh(script(mesh, tmp_path, "zsh"), tmp_path / "dump")
    yield shell
    shell.close()


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        ("stat\t", "status"),
        ("serve --ct\t8k --wa\ta\t", "serve --ctx 8k --wait a.gguf"),
        ("--log-format j\tsta\t", "--log-format json status"),
        ("invite --rights work,ask,lead,\t", "invite --rights work,ask,lead,own"),
        ("help sto\t", "help stop"),
    ],
)
def test_zsh_completes_them_too(zsh: Zsh, typed: str, asked: str) -> None:
    zsh.type(f"mesh {typed}\n")
    assert asked in zsh.shows(r"asked: .*?\.[\r\n]")


def test_the_scripts_know_every_command_and_every_option_for_people(mesh: Terminal) -> None:
    scripts = [mesh.run("completion", shell).out for shell in completion.SHELLS]
    for name, command in COMMANDS.items():
        if not command.summary:
            continue
        for text in scripts:
            assert name in text
        for action in options_of(name, load_command(name)).parser._actions:
            if action.help != "==SUPPRESS==":
                for option in action.option_strings:
                    assert all(option.lstrip("-") in text for text in scripts), (name, option)


@pytest.mark.parametrize(
    ("shell", "hint"), [("/usr/bin/fish", "fish"), ("/bin/zsh", "zsh"), ("/bin/tcsh", "bash"), ("", "bash")]
)
def test_without_a_shell_that_there_is_the_hint_guesses_it(
    mesh: Terminal, monkeypatch: pytest.MonkeyPatch, shell: str, hint: str
) -> None:
    monkeypatch.setenv("SHELL", shell)
    missing, wrong = mesh.run("completion"), mesh.run("completion", "tcsh")
    assert missing.code == wrong.code == 2
    assert missing.err == f"mesh: for which shell, bash, zsh or fish?\nhint: mesh completion {hint}\n"
    assert "no completion for 'tcsh', only for bash, zsh or fish" in wrong.err
    assert f"hint: mesh completion {hint}\n" in wrong.err
