"""In the sandbox a program computes and serves its port; it writes, connects and gains nothing."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.engine.process.child import guarded_argv
from mesh.engine.process.rpc_port import free_port
from mesh.engine.sandbox import landlock, launcher, seccomp
from mesh.engine.sandbox.launcher import environment, missing, readable, sandboxed

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such sandbox")
CONFINED = pytest.mark.skipif(bool(missing()), reason=f"this machine lacks {missing()}")

# Each attempt by itself: prints what came of it.
PROBE = """
import json, os, resource, signal, socket, subprocess, sys
port, open_port, secret, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
def status(name):
    lines = open("/proc/self/status").read().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(name + ":"))
def serve():
    with socket.create_server(("127.0.0.1", port)) as server:
        return server.getsockname()[1] == port
attempts = {
    "write a file": lambda: open(folder + "/new", "w"),
    "read a secret": lambda: open(secret).read(),
    "write to home": lambda: open(os.path.expanduser("~/.frankenstein-probe"), "w"),
    "connect": lambda: socket.create_connection(("127.0.0.1", open_port)),
    "send a datagram": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    "speak to a daemon": lambda: socket.socket(socket.AF_UNIX),
    "listen elsewhere": lambda: socket.create_server(("127.0.0.1", 0)),
    "signal its parent": lambda: os.kill(os.getppid(), 0),
    "read its parent's secrets": lambda: open(f"/proc/{os.getppid()}/environ", "rb").read(),
    "become another": lambda: os.setuid(12345) if os.getuid() == 0 else os.setuid(0),
    "leave its root": lambda: os.chroot("/usr"),
    "serve": serve,
    "know the machine": lambda: len(open("/proc/cpuinfo").read()) > 0 and len(os.listdir("/sys")) > 0,
    "throw away": lambda: open("/dev/null", "w").write("x"),
    "start a helper": lambda: subprocess.run([sys.executable, "-ISc", ""], check=True),
    "a helper writes": lambda: subprocess.run(
        [sys.executable, "-ISc", f"open({folder!r} + '/new', 'w')"], check=True, stderr=-1),
}
done = {}
for name, attempt in attempts.items():
    try:
        done[name] = attempt() is not None
    except (OSError, subprocess.CalledProcessError):
        done[name] = False
done["privileges"] = [status("NoNewPrivs"), status("CapEff"), status("CapBnd"), status("Seccomp")]
done["limits"] = [resource.getrlimit(which)[1] for which in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE)]
done["variables"] = sorted(os.environ)
print(json.dumps(done))
"""
WITHIN = {"serve", "know the machine", "throw away", "start a helper"}


def probe(tmp_path: Path, *, device: bool = False) -> dict[str, object]:
    secret = tmp_path / "identity.key"
    secret.write_text("secret")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = free_port()
        argv = [sys.executable, "-IS", "-c", PROBE]
        argv += [str(port), str(listening.getsockname()[1]), str(secret), str(tmp_path)]
        result = subprocess.run(
            sandboxed(argv, port, device=device),
            env=environment({**os.environ, "MESH_TOKEN": "mesh1:secret", "AWS_SECRET_ACCESS_KEY": "x"}),
            capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == [secret]
    done: dict[str, object] = json.loads(result.stdout)
    return done


@CONFINED
@pytest.mark.parametrize("device", [False, True], ids=["processor", "accelerator"])
def test_a_program_serves_its_port_and_can_do_nothing_else(tmp_path: Path, device: bool) -> None:
    done = probe(tmp_path, device=device)
    assert {name for name, came in done.items() if came is True} == WITHIN
    assert done["privileges"] == ["1", "0" * 16, "0" * 16 if os.getuid() == 0 else done["privileges"][2], "2"]  # type: ignore[index]
    assert done["limits"] == [0, -1 if device else 0]


def test_secrets_of_the_environment_are_not_passed_on(tmp_path: Path) -> None:
    given = environment({"PATH": "/bin", "CUDA_VISIBLE_DEVICES": "1", "MESH_TOKEN": "t", "GITHUB_TOKEN": "t"})
    assert given == {"PATH": "/bin", "CUDA_VISIBLE_DEVICES": "1"}
    variables = probe(tmp_path)["variables"]
    assert isinstance(variables, list)
    assert not {"MESH_TOKEN", "AWS_SECRET_ACCESS_KEY"} & set(variables)


@LINUX
def test_without_landlock_the_program_runs_and_what_is_missing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    monkeypatch.setattr(seccomp, "available", lambda: False)
    first = [lack.split(" ")[0].rstrip(":") for lack in missing()]
    assert first == ["Landlock", "Landlock", "seccomp", "Landlock"]
    assert launcher.is_open()
    monkeypatch.setattr(landlock, "abi", lambda: 4)
    assert len(missing()) == 2
    monkeypatch.setattr(seccomp, "available", lambda: True)
    assert missing() == []
    assert not launcher.is_open()
    monkeypatch.setattr(seccomp, "available", lambda: False)
    script = (
        "from mesh.engine.sandbox import landlock, launcher, seccomp\n"
        "landlock.abi, seccomp.available = (lambda: 0), (lambda: False)\n"
        "launcher.main(['--port=1', '--', 'grep', 'NoNewPrivs', '/proc/self/status'])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    assert result.stdout.split() == ["NoNewPrivs:", "1"]


def test_other_systems_say_so_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    (lack,) = missing()
    assert "darwin" in lack


def test_libraries_beside_the_program_and_where_variables_point_are_readable(tmp_path: Path) -> None:
    folders = readable(
        str(tmp_path / "bin" / "rpc-server"), {"LD_LIBRARY_PATH": "/a/b::relative:/c", "OTHER": "/d"}
    )
    assert {str(tmp_path / "bin"), str(tmp_path / "lib"), "/a/b", "/c", "/usr"} <= set(folders)
    assert not {"/d", "relative", "", "/", str(tmp_path)} & set(folders)


def test_a_program_that_is_not_there_is_said() -> None:
    result = subprocess.run(
        sandboxed(["/usr/bin/not-there-at-all"], 1, device=False), capture_output=True, text=True, timeout=30
    )
    assert result.returncode == 127
    assert "not-there-at-all" in result.stderr


@LINUX
def test_a_layer_that_fails_ends_the_program_before_it_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(launcher, "confine", fails)
    assert launcher.main(["--port=1", "--", "true"]) == 126
    assert "the sandbox failed" in capsys.readouterr().err


@LINUX
def test_the_wish_to_die_with_the_parent_survives() -> None:
    script = "import ctypes; n = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(n)); print(n.value)"
    argv = sandboxed([sys.executable, "-ISc", script], 1, device=False)
    result = subprocess.run(
        guarded_argv(argv, parent=os.getpid()), capture_output=True, text=True, check=True, timeout=30
    )
    assert int(result.stdout) == signal.SIGKILL
