import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from mesh.cli.commands.logs import Log
from tests.mesh.cli.conftest import Terminal


def test_logs_are_shown_with_who_wrote_them_the_latest_last(mesh: Terminal) -> None:
    for age, name in enumerate(("llama-server", "mesh", "rpc-server")):
        log = mesh.state_dir / f"{name}.log"
        log.write_text(f"{name} says\nhello\n")
        os.utime(log, (1000 - age, 1000 - age))
    assert (
        mesh.run("logs").out
        == """\
rpc-server   | rpc-server says
rpc-server   | hello
sidecar      | mesh says
sidecar      | hello
llama-server | llama-server says
llama-server | hello
"""
    )


def test_each_devices_rpc_server_has_a_log_whose_name_fits(mesh: Terminal) -> None:
    for age, name in enumerate(("mesh", "rpc-server-CUDA0")):
        log = mesh.state_dir / f"{name}.log"
        log.write_text("hello\n")
        os.utime(log, (1000 - age, 1000 - age))
    assert (
        mesh.run("logs").out
        == """\
rpc-server-CUDA0 | hello
sidecar          | hello
"""
    )


def test_only_the_last_lines_are_shown(mesh: Terminal) -> None:
    (mesh.state_dir / "mesh.log").write_text("".join(f"{n}\n" for n in range(100_000)))
    assert mesh.run("logs", "-n", "2").out == "sidecar      | 99998\nsidecar      | 99999\n"
    assert len(mesh.run("logs").out.splitlines()) == 100


def test_bytes_that_are_no_text_do_no_harm(mesh: Terminal) -> None:
    (mesh.state_dir / "mesh.log").write_bytes(b"\xff\x1b[2J\tx\r\n")
    assert mesh.run("logs").out == "sidecar      | \ufffd?[2J   x\n"


def test_where_no_node_was_there_are_no_logs(mesh: Terminal) -> None:
    outcome = mesh.run("logs")
    assert outcome.code == 1
    assert "there are no logs" in outcome.err


def test_following_survives_a_log_that_is_set_aside_or_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "mesh.log"
    path.write_bytes(b"a\nb\nhal")
    log = Log(path)
    assert log.last(1) == [b"b"]
    assert log.more() == []
    with path.open("ab") as file:
        file.write(b"f\nc\n")
    assert log.more() == [b"half", b"c"]
    with path.open("ab") as file:
        file.write(b"d\n")
    path.rename(tmp_path / "mesh.log.1")
    path.write_bytes(b"e\n")
    assert log.more() == [b"d", b"e"]
    path.write_bytes(b"")
    assert log.more() == []
    with path.open("ab") as file:
        file.write(b"f\n")
    assert log.more() == [b"f"]
    path.unlink()
    assert log.more() == []
    log.close()


def test_following_shows_what_is_added_until_ctrl_c(state_dir: Path) -> None:
    log = state_dir / "mesh.log"
    log.write_text("first\n")
    command = [sys.executable, "-u", "-m", "mesh.cli", "--state-dir", str(state_dir), "logs", "-f"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for text in ("first", "second", "third"):
            if text != "first":
                with log.open("a") as file:
                    print(text, file=file)
            assert select.select([process.stdout], [], [], 30)[0]
            assert process.stdout.readline() == f"sidecar      | {text}\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
