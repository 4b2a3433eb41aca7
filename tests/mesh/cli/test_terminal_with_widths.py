"""What is printed at widths of terminals."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from mesh.cli import terminal
from mesh.cli.commands import plan, status
from tests.mesh.cli import examples
from tests.mesh.cli.conftest import FakeSidecar, Terminal

WIDTHS = (40, 60, 80, 200)
TEXTS = st.text(st.characters(categories=["L", "N", "P", "Zs"]), max_size=60)
NEEDED, MIDDLING, LEAST = "NEEDED", "MIDDLING", "LEAST"


def at(fits: int | None) -> Any:
    """Standard output is a terminal of that many columns; None: it is none."""
    return patch.object(terminal, "columns", lambda stream=None: fits)


def widest(text: str) -> int:
    return max(map(terminal.width, text.splitlines()))


def long_status() -> Any:
    """Names, addresses and accelerators as long as they are on real machines, and a reason."""
    accelerator = {"kind": "cuda", "name": "NVIDIA GeForce RTX 4060 Ti"}
    changes = {"accelerator": accelerator, "address": "[fd7a:115c:a1e0::b401:1234]:50052"}
    deployment = {
        "model": "SmolLM2-135M-Instruct.Q4_1.gguf",
        "sha256": "0" * 64,
        "state": "waiting",
        "progress": 0.0,
        "reason": "needs 198.3 MiB, 5.1 MiB are missing; offered: desk, shed (holds 19 layers), attic",
    }
    members = [
        examples.member(examples.ALPHA, "家の机", layers=[0, 7], **changes),
        examples.member(examples.BETA, "shed-in-the-garden", layers=[8, 15], **changes),
    ]
    return examples.status(members=members, deployment=deployment, listen="http://10.0.0.1:50080/v1")


@given(rows=st.lists(st.tuples(TEXTS, TEXTS, TEXTS), max_size=4), fits=st.sampled_from(WIDTHS))
def test_no_line_of_a_table_is_wider_than_the_terminal(rows: list[tuple[str, ...]], fits: int) -> None:
    with at(fits):
        text = terminal.table([(NEEDED, MIDDLING, LEAST), *rows], dispensable=(LEAST, MIDDLING))
    assert widest(text) <= fits
    assert NEEDED in text.splitlines()[0]
    assert (LEAST in text.splitlines()[0]) or (f"not shown: {LEAST}" in text)


@given(rows=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=3), fits=st.sampled_from(WIDTHS))
def test_fields_stay_within_the_terminal_but_for_long_words(rows: list[tuple[str, str]], fits: int) -> None:
    with at(fits):
        lines = terminal.fields([(name[:12], value, "") for name, value in rows]).split("\n")
    for line in lines:
        assert terminal.width(line.rstrip()) <= fits or " " not in line.strip()


@given(text=TEXTS, fits=st.integers(1, 70))
def test_what_is_cut_fits_and_says_so(text: str, fits: int) -> None:
    shown = terminal.cut(text, fits)
    assert terminal.width(shown) <= fits
    assert shown == text or (shown.endswith("…") and text.startswith(shown[:-1]))


def test_a_pipe_gets_every_column_and_whole_lines() -> None:
    with at(None):
        text = terminal.table([[NEEDED, LEAST], ["x" * 300, "y"]], dispensable=(LEAST,))
        assert text.splitlines()[0].endswith(LEAST)
        assert terminal.fields([("a", "word " * 100 + "end", "")]).count("\n") == 0


def test_the_least_needed_columns_go_first_and_are_named() -> None:
    rows = [["NAME", "ADDRESS", "CHIP", "STATE"], ["alpha", "10.0.0.1:50052", "cuda NVIDIA L4", "alive"]]
    order = ("CHIP", "ADDRESS")
    with at(41):
        text = terminal.table(rows, dispensable=order)
    assert text.splitlines()[:2] == ["NAME   ADDRESS         STATE", "alpha  10.0.0.1:50052  alive"]
    assert "not shown: CHIP;" in text
    with at(20):
        text = terminal.table(rows, dispensable=order)
    assert text.splitlines()[:2] == ["NAME   STATE", "alpha  alive"]
    assert "not shown: CHIP," in text


def test_a_long_name_is_cut_when_nothing_else_is_left_and_numbers_never() -> None:
    with at(20):
        text = terminal.table([["NAME", "N"], ["a-very-long-name-of-a-machine", "123456"]], right=(1,))
    assert text == "NAME               N\na-very-long…  123456"


def test_long_values_go_on_under_themselves_and_commands_stay_whole() -> None:
    with at(40):
        long = ("model", "one two three four five six seven eight nine", "")
        text = terminal.fields([long, ("others", "curl " + "x" * 60, "")], whole=("others",))
    assert text.splitlines() == [
        "model   one two three four five six",
        "        seven eight nine",
        "others  curl " + "x" * 60,
    ]


@pytest.mark.parametrize("fits", WIDTHS)
def test_status_and_plan_fit_and_keep_what_is_needed(fits: int) -> None:
    with at(fits):
        text = status.describe(long_status())
        planned = plan.describe(examples.plan())  # type: ignore[arg-type]
    kept = [line for line in text.splitlines() if not line.startswith("others")]
    assert widest("\n".join(kept)) <= fits
    assert all(word in text for word in ("NAME", "STATE", "LAYERS", "家の机", "8-15 + head", "attic"))
    assert ("ACCELERATOR  " in text) is (fits == 200)
    assert widest(planned) <= fits
    assert "HOLDS" in planned
    assert "SUM" in planned


@pytest.mark.parametrize("fits", WIDTHS)
async def test_the_other_tables_fit_as_well(mesh: Terminal, sidecar: FakeSidecar, fits: int) -> None:
    sidecar.answers |= {"status": long_status(), "usage": {"asked": None}}
    held = {"name": "m" * 50, "size": 1 << 30, "sha256": "0" * 64, "members": [examples.ALPHA, "b" * 26]}
    sidecar.answers["models"] = {"models": [{**held, "serving": True}]}
    with at(fits):
        members, models = await mesh("members"), await mesh("models")
    assert members.code == models.code == 0, members.err + models.err
    assert widest(members.out) <= fits
    assert "ID" in members.out
    assert widest(models.out) <= fits
    assert "serving" in models.out


async def test_a_real_terminal_of_60_columns_gets_60(sidecar: FakeSidecar, state_dir: Path) -> None:
    sidecar.answers["status"] = long_status()

    def show() -> str:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
        command = [sys.executable, "-m", "mesh.cli", "--state-dir", str(state_dir), "status"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=theirs, check=True, timeout=60)
        assert done.returncode == 0
        os.close(theirs)
        shown, more = b"", b"-"
        with os.fdopen(ours, "rb", buffering=0) as reader, suppress(OSError):  # Linux' end of a terminal
            while more:
                more = reader.read(4096)
                shown += more
        return shown.decode()

    lines = (await trio.to_thread.run_sync(show)).splitlines()
    assert max(terminal.width(line) for line in lines if not line.startswith("others")) <= 60
    assert any(line.startswith("not shown: ACCELERATOR, ADDRESS") for line in lines)
