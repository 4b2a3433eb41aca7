"""The demo as a person runs it, to its end and to any other: whatever happens, nothing is left."""

import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

LIMIT = 120.0
STOPPED = "mesh: the demo was stopped; nothing of it is left"


@dataclass
class Place:
    """Where the demo runs: its temporary files and sockets are here and nowhere else."""

    temporary: Path
    sockets: Path

    def starts(self, *options: str, terminal: int | None = None, **variables: str) -> subprocess.Popen[str]:
        """The demo in a session of its own; both streams are the terminal, if there is one."""
        out = subprocess.PIPE if terminal is None else terminal
        return subprocess.Popen(
            [sys.executable, "-m", "mesh.cli", "demo", *options],
            env=os.environ
            | {"TMPDIR": str(self.temporary), "XDG_RUNTIME_DIR": str(self.sockets), "PYTHONUNBUFFERED": "1"}
            | variables,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            text=True,
            start_new_session=True,
        )

    def is_empty(self) -> bool:
        files = [path for path in (*self.temporary.rglob("*"), *self.sockets.rglob("*")) if path.is_file()]
        return files == [] and list(self.temporary.iterdir()) == []


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Of a path that is too long for sockets, so that these are elsewhere."""
    temporary = tmp_path / "a-folder-for-temporary-files-with-a-long-name-as-some-systems-have"
    temporary.mkdir()
    sockets = tempfile.mkdtemp(prefix="mesh-", dir="/tmp")
    yield Place(temporary, Path(sockets))
    shutil.rmtree(sockets)


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """What it prints, a character at a time, up to these words."""
    assert process.stdout is not None
    printed = ""
    while words not in " ".join(printed.split()):
        character = process.stdout.read(1)
        assert character, f"it ended without {words!r}: {printed}"
        printed += character
    return printed


def ends(process: subprocess.Popen[str]) -> tuple[int, list[str]]:
    """Its exit code and its lines of errors, of a process whose output is read."""
    _, printed = process.communicate(timeout=LIMIT)
    return process.returncode, errors_in(printed)


def errors_in(printed: str) -> list[str]:
    """The lines but for the progress."""
    return [line for line in printed.splitlines() if "%" not in line]


@pytest.mark.usefixtures("engine")
def test_a_sentence_goes_on_with_another_leader(place: Place, tmp_path: Path) -> None:
    picture = tmp_path / "demo.svg"
    with place.starts("--json", "--picture", str(picture)) as process:
        printed, errors = process.communicate(timeout=LIMIT)
    assert (process.returncode, errors) == (0, "")
    said = json.loads(printed)
    assert said["identical"] is True
    assert said["first_leader"] == "alpha"
    assert said["second_leader"] in ("bravo", "charlie")
    assert 0 < said["pause_seconds"] < 60
    assert 0 < said["killed_after_characters"] < len(said["text"])
    assert said["text"][: said["killed_after_characters"]].rstrip()[-1] not in ".!?"
    assert {"engine", "model", "join", "serve", "copy", "first_answer"} <= set(said["timings_seconds"])
    assert "kill -9 alpha" in " ".join(ElementTree.parse(picture).getroot().itertext())
    assert place.is_empty()


LOADING = "The model, split"
ANSWERING = "Answer in one short paragraph. A"
PAUSING = "[kill -9 alpha]"


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(
    ("words", "number"),
    [(LOADING, signal.SIGTERM), (PAUSING, signal.SIGINT)],
    ids=["loading", "pausing"],
)
def test_a_signal_ends_all_with_one_line(place: Place, words: str, number: signal.Signals) -> None:
    """While engines start, and while a dead node's place is taken; each step has it in a unit test."""
    with place.starts() as process:
        read_until(process, words)
        os.killpg(process.pid, number)
        assert ends(process) == (128 + number, [STOPPED])
    assert place.is_empty()


@pytest.mark.usefixtures("engine")
def test_a_reader_that_goes_ends_all_in_silence(place: Place) -> None:
    with place.starts() as process:
        read_until(process, ANSWERING)
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        errors = errors_in(process.stderr.read())
        assert (process.wait(LIMIT), errors) == (1, [])
    assert place.is_empty()


@pytest.mark.usefixtures("engine")
def test_nodes_do_not_outlive_a_demo_that_is_killed(place: Place) -> None:
    """The check for processes that are left, of every test, sees them."""
    with place.starts() as process:
        read_until(process, LOADING)
        process.kill()
        assert ends(process)[0] == -signal.SIGKILL


@pytest.fixture
def silent_index() -> Iterator[str]:
    """A package index that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/simple"


def seen_on(terminal: int, until: Sequence[str] = ()) -> str:
    """What a terminal shows up to these words; without any, until nobody writes to it."""
    shown = ""
    with suppress(OSError):  # how Linux tells that the other end of a terminal is closed
        while not until or any(word not in shown for word in until):
            piece = os.read(terminal, 4096).decode()
            if not piece:
                break
            shown += piece
    return shown


def test_ctrl_c_while_the_engine_is_fetched_leaves_one_line(
    place: Place, tmp_path: Path, silent_index: str
) -> None:
    master, slave = pty.openpty()
    variables = {
        "PIP_INDEX_URL": silent_index,
        "MESH_CACHE_DIR": str(tmp_path / "cache"),
        "MESH_LLAMA_DIR": "",
    }
    with place.starts(terminal=slave, PATH="/usr/bin:/bin", MESH_BACKEND="cpu", **variables) as process:
        os.close(slave)
        seen_on(master, ["The engine", "[....", "%"])
        os.killpg(process.pid, signal.SIGINT)
        last = seen_on(master)
        assert process.wait(LIMIT) == 130, last
    os.close(master)
    assert last.split("\r\x1b[K")[-1].splitlines() == [STOPPED]
    assert "Traceback" not in last
    assert place.is_empty()
