"""An engine on a unix socket is reached by its user, and its port exists for nobody."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from leader.llama.local_http import get
from mesh.engine.process.reach import Loopback, UnixSocket, reach
from mesh.engine.sandbox.confinement import Confinement
from mesh.engine.types import Engine
from mesh.tools.generator import generate, spec_of_size


async def test_the_real_llama_server_listens_there(engine: Engine, tmp_path: Path) -> None:
    (model,) = generate(tmp_path / "model.gguf", spec_of_size(4_000_000))
    made = UnixSocket(Confinement())
    argv = [str(engine.llama_server), "-m", str(model), "--host", made.host, "--port", str(made.port)]
    argv += ["-c", "256", "-np", "1", "-fit", "off", "-cram", "0", "--device", "none"]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(argv, stdout=log, stderr=log)  # noqa: ASYNC220
    try:
        made.started(server.pid)
        status = 0
        with trio.fail_after(60):
            while status != 200:
                assert server.poll() is None, (tmp_path / "log").read_text()
                try:
                    status, _ = await get(made.connect, "/health")
                except OSError:
                    await trio.sleep(0.02)
        folder = Path(made.host).parent
        assert folder.stat().st_mode & 0o777 == 0o700
        assert folder.stat().st_uid == os.geteuid()
    finally:
        server.kill()
        server.wait()
        made.close()
    assert not folder.exists()
    with pytest.raises(FileNotFoundError):
        await made.connect()


async def test_it_may_make_the_socket_and_listens_on_no_port() -> None:
    made = UnixSocket(Confinement(device=True), 2)
    try:
        listeners = await made.listeners()
        assert made.confinement.socket == made.host
        assert made.confinement.listens == ()
        assert [f"127.{end.partition('.')[2]}" for end in made.endpoints] == made.endpoints
        assert list(made.confinement.connects) == [int(end.rpartition(":")[2]) for end in made.endpoints]
        for listener in listeners:
            await listener.aclose()
    finally:
        made.close()


def test_macos_alone_has_it_and_only_for_what_can_listen_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for platform, unix, kind in (
        ("linux", True, Loopback),
        ("darwin", False, Loopback),
        ("darwin", True, UnixSocket),
    ):
        monkeypatch.setattr(sys, "platform", platform)
        made = reach(Confinement(), cells=False, unix=unix)
        made.close()
        assert type(made) is kind
