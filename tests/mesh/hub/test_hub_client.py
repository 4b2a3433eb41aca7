"""Asking the hub's process, from a command and from a program in trio."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import trio

from mesh.hub import hub_client
from mesh.hub.hub_client import HubError
from mesh.hub.hub_lines import ProgressLine
from mesh.hub.repository import HubFile, Repository
from tests.lab.hub import ScriptedHub
from tests.mesh.hub.hub_asker import entry, model

REPO = "ann/tiny-GGUF"
TINY = model(100_000)
_ENTRY = entry("tiny.gguf", TINY)
FILE = HubFile(_ENTRY["path"], _ENTRY["size"], _ENTRY["sha256"])


@pytest.fixture
def commit(hub: ScriptedHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """That of a repository with one file, on the hub that this process' children ask."""
    for name, value in hub.environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    return hub.add(REPO, {"tiny.gguf": TINY}).commit


def test_a_command_describes_looks_and_fetches(hub: ScriptedHub, commit: str, tmp_path: Path) -> None:
    described = hub_client.describe(REPO)
    assert described == Repository(REPO, commit, False, (FILE,))
    into = tmp_path / "header"
    assert hub_client.header_of(into, 1000, repo=REPO, path="tiny.gguf") == 100_000
    assert into.read_bytes() == TINY[:1000]
    lines: list[ProgressLine] = []
    [path] = hub_client.fetch(REPO, commit, described.files, lines.append)
    assert path.read_bytes() == TINY
    assert (lines[-1]["done"], lines[-1]["total"]) == (100_000, 100_000)


def test_a_command_fetches_from_an_address(hub: ScriptedHub, commit: str, tmp_path: Path) -> None:
    hub.put("tiny.gguf", TINY)
    url = hub.file_url("tiny.gguf")
    assert hub_client.header_of(tmp_path / "header", 10, url=url) == 100_000
    [path] = hub_client.fetch_url(url, FILE.sha256, tmp_path / "models", None)
    assert path.read_bytes() == TINY


def test_an_error_keeps_its_kind_and_its_hint(commit: str) -> None:
    with pytest.raises(HubError) as caught:
        hub_client.describe("ann/tiny")
    assert (caught.value.code, caught.value.hint) == ("not_found", f"did you mean: hf:{REPO}")


def test_a_wrong_file_is_forgotten_and_the_next_is_right(hub: ScriptedHub, commit: str) -> None:
    hub.faults.altered = True
    [path] = hub_client.fetch(REPO, commit, [FILE], None)
    blob = path.resolve()
    assert path.read_bytes() != TINY
    assert hub_client.forget(path)
    assert [path.is_symlink(), blob.exists()] == [False, False]
    hub.faults.altered = False
    assert [one.read_bytes() for one in hub_client.fetch(REPO, commit, [FILE], None)] == [TINY]


def test_of_a_file_beside_the_model_the_hash_is_checked_at_once(hub: ScriptedHub, commit: str) -> None:
    hub.faults.altered = True
    with pytest.raises(HubError, match=r"tiny\.gguf is not the file that the hub tells of") as caught:
        hub_client.fetch(REPO, commit, [FILE], None, model=0)
    assert (caught.value.code, caught.value.hint) == (
        "wrong",
        "it was removed; the same command downloads it again",
    )
    hub.faults.altered = False
    assert [one.read_bytes() for one in hub_client.fetch(REPO, commit, [FILE], None, model=0)] == [TINY]


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("sys.exit('no room')", "ended: no room"),
        ("0", "ended: without a word"),
        ("print('hello')", "says hello"),
    ],
)
def test_a_process_that_dies_without_an_answer_is_told(
    monkeypatch: pytest.MonkeyPatch, program: str, reason: str
) -> None:
    monkeypatch.setattr(hub_client, "_COMMAND", (sys.executable, "-c", f"import sys; {program}"))
    with pytest.raises(HubError, match=f"the hub's process {reason}"):
        hub_client.describe(REPO)


def test_an_interruption_while_it_asks_leaves_no_process(hub: ScriptedHub, commit: str) -> None:
    def interrupt(_: ProgressLine) -> None:
        raise KeyboardInterrupt

    hub.faults.hold = threading.Event()
    with pytest.raises(KeyboardInterrupt):
        hub_client.fetch(REPO, commit, [FILE], interrupt)


def test_ctrl_c_at_the_terminal_ends_both_quietly(hub: ScriptedHub, commit: str) -> None:
    hub.faults.hold = threading.Event()
    program = (
        "from mesh.hub import hub_client\n"
        "from mesh.hub.repository import HubFile\n"
        "told = lambda line: print(line, flush=True)\n"
        f"try: hub_client.fetch({REPO!r}, {commit!r}, [{FILE!r}], told)\n"
        "except KeyboardInterrupt: print('interrupted')\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        said, errors = process.communicate(timeout=60)
        assert (said.splitlines()[-1], errors) == ("interrupted", "")


async def test_a_program_in_trio_fetches_without_a_token(
    hub: ScriptedHub, commit: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    (tmp_path / "hf-home" / "token").write_text("hf_stored")
    lines: list[ProgressLine] = []
    [path] = await hub_client.fetch_apart(REPO, commit, [FILE], lines.append)
    assert path.read_bytes() == TINY
    assert lines[-1]["done"] == 100_000
    assert hub.tokens() == set()


async def test_cancelling_in_trio_ends_the_process(hub: ScriptedHub, commit: str) -> None:
    hub.faults.hold = threading.Event()
    with trio.CancelScope() as scope:
        await hub_client.fetch_apart(REPO, commit, [FILE], lambda _: scope.cancel())
    assert scope.cancelled_caught


async def test_an_error_in_trio_is_that_of_the_hub(hub: ScriptedHub, commit: str) -> None:
    hub.remove(REPO)
    with pytest.raises(HubError) as caught:
        await hub_client.fetch_apart(REPO, commit, [FILE], None)
    assert caught.value.code == "not_found"


def test_the_client_does_not_load_the_library() -> None:
    program = "import sys, mesh.hub.hub_client; print({'huggingface_hub', 'trio'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert result.stdout.strip() == "set()"
