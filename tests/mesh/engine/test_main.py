import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from mesh.engine.process.rpc_port import free_port
from mesh.engine.types import Engine


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mesh.engine", *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_prints_where_the_engine_is(engine: Engine) -> None:
    done = run("--json", MESH_LLAMA_DIR=str(engine.llama_server.parent))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rpc_server"] == str(engine.rpc_server)


def test_an_error_is_a_line_with_its_hint_and_status_1(tmp_path: Path) -> None:
    done = run(MESH_LLAMA_DIR=str(tmp_path))
    assert done.returncode == 1
    assert "no pair of llama-server" in done.stderr
    assert "unset MESH_LLAMA_DIR" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_interrupted_build_says_that_it_can_go_on(tmp_path: Path) -> None:
    sink = socket.create_server(("127.0.0.1", 0))  # takes connections and never answers
    environ = {
        **os.environ,
        "PIP_INDEX_URL": f"http://127.0.0.1:{sink.getsockname()[1]}/simple",
        "NO_PROXY": "127.0.0.1",
        "MESH_LLAMA_DIR": "",
        "MESH_BACKEND": "cpu",
        "PATH": str(tmp_path),
    }
    argv = [sys.executable, "-m", "mesh.engine", "--cache", str(tmp_path / "cache")]
    with sink, subprocess.Popen(argv, env=environ, stderr=subprocess.PIPE, text=True) as process:
        connection, _ = sink.accept()
        with connection:
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted; the next run goes on from here" in errors
    assert "Traceback" not in errors


def test_no_network_is_an_error_with_its_hint(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    done = run(
        "--cache",
        str(tmp_path / "cache"),
        PIP_INDEX_URL=f"http://127.0.0.1:{free_port()}/simple",
        MESH_LLAMA_DIR="",
        MESH_BACKEND="cpu",
        PATH=str(tools),
    )
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr
    assert "PIP_INDEX_URL" in done.stderr
