import shutil
from pathlib import Path

import pytest

from mesh.engine.engine_errors import EngineError, PairError
from mesh.engine.install import locate, pins
from mesh.engine.install.locate import backend_in, commit_in, find_installed, find_pair, inspect_pair
from mesh.engine.sandbox.launcher import missing
from mesh.engine.types import Engine
from tests.mesh.engine.process.engines import CELLS, NO_CELLS

OTHER_RPC = """#!/usr/bin/env python3
import socket, sys
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
server = socket.create_server((given["-H"], int(given["-p"])))
while True:
    connection, _ = server.accept()
    print("Starting RPC server v3.1.0\\nAccepted client connection", flush=True)
    connection.close()
"""
OTHER_LLAMA = """#!/bin/sh
case "$*" in *--list-devices*) echo "  RPC0: there (1 MiB)";; *) echo "version: 5000 (abcdef0)";; esac
"""


def program(path: Path, text: str = "#!/bin/sh\nexit 1\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def other_pair(tmp_path: Path) -> Path:
    """A pair that works, of another protocol."""
    program(tmp_path / "llama-server", OTHER_LLAMA)
    program(tmp_path / "rpc-server", OTHER_RPC)
    return tmp_path


async def test_the_real_pair_is_found_in_the_folder_that_is_named(engine: Engine) -> None:
    found = await find_installed({"MESH_LLAMA_DIR": str(engine.llama_server.parent)})
    assert found is not None
    assert (found.commit, found.rpc, found.origin) == (engine.commit, engine.rpc, "installed")
    assert found.rpc_server == engine.rpc_server


async def test_the_real_pair_works_together_without_cells_too(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locate, "isolation", lambda: NO_CELLS)
    found = await inspect_pair(engine.llama_server, engine.rpc_server, "built")
    assert (found.commit, found.rpc, found.backend) == (engine.commit, engine.rpc, engine.backend)


async def test_the_real_pair_is_found_on_the_path_under_the_older_name_too(
    engine: Engine, tmp_path: Path
) -> None:
    if engine.rpc != pins.RPC_VERSION:
        pytest.skip("this machine's engine is of another protocol")
    (tmp_path / "llama-server").symlink_to(engine.llama_server)
    (tmp_path / "rpc-server").symlink_to(engine.rpc_server)
    found = await find_installed({"PATH": f"/nonexistent::{tmp_path}"})
    assert found is not None
    assert found.rpc_server == tmp_path / "rpc-server"


def test_both_programs_must_be_in_one_folder(tmp_path: Path) -> None:
    program(tmp_path / "a" / "llama-server")
    program(tmp_path / "b" / "ggml-rpc-server")
    assert find_pair([str(tmp_path / "a"), "", str(tmp_path / "b")]) is None
    program(tmp_path / "b" / "llama-server")
    assert find_pair([str(tmp_path / "a"), str(tmp_path / "b")]) == (
        tmp_path / "b" / "llama-server",
        tmp_path / "b" / "ggml-rpc-server",
    )


async def test_a_pair_of_another_protocol_is_passed_over_unless_it_is_asked_for(
    other_pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = shutil.which("python3") or "python3"
    path = f"{other_pair}:{Path(python).parent}:/usr/bin:/bin"
    monkeypatch.setenv("PATH", path)
    monkeypatch.setattr("mesh.engine.install.locate._HOMEBREW", ())
    assert await find_installed({"PATH": str(other_pair)}) is None
    found = await find_installed({"PATH": path, "MESH_LLAMA_DIR": str(other_pair)})
    assert found is not None
    assert (found.commit, found.rpc, found.backend) == ("abcdef0", "3.1.0", "cpu")


@pytest.mark.skipif(bool(missing()), reason=f"this machine lacks {missing()}")
@pytest.mark.parametrize("cells", [pytest.param(True, marks=CELLS), False], ids=["cell", "loopback"])
async def test_a_pair_writes_nothing_and_learns_no_secret_while_it_is_looked_at(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cells: bool
) -> None:
    if not cells:
        monkeypatch.setattr(locate, "isolation", lambda: NO_CELLS)
    monkeypatch.setenv("MESH_TOKEN", "mesh1:secret")
    tries = f"echo x > {tmp_path}/written; echo token=$MESH_TOKEN\n"
    llama = program(tmp_path / "llama-server", "#!/bin/sh\n" + tries)
    with pytest.raises(PairError, match=r"its version: .*token=$"):
        await inspect_pair(llama, engine.rpc_server, "installed")
    rpc = program(tmp_path / "rpc-server", "#!/bin/sh\n" + tries)
    with pytest.raises(PairError, match=r"does not serve: .*token=$"):
        await inspect_pair(engine.llama_server, rpc, "installed")
    assert not (tmp_path / "written").exists()


async def test_a_pair_that_does_not_understand_itself_is_no_pair(engine: Engine, other_pair: Path) -> None:
    with pytest.raises(PairError, match="does not understand"):
        await inspect_pair(engine.llama_server, other_pair / "rpc-server", "installed")


async def test_an_rpc_server_that_ends_is_no_pair(engine: Engine, tmp_path: Path) -> None:
    broken = program(tmp_path / "rpc-server", "#!/bin/sh\necho no such library\n")
    with pytest.raises(PairError, match="does not serve: no such library"):
        await inspect_pair(engine.llama_server, broken, "installed")


async def test_a_named_folder_without_a_pair_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no pair") as caught:
        await find_installed({"MESH_LLAMA_DIR": str(tmp_path)})
    assert "unset MESH_LLAMA_DIR" in caught.value.hint


async def test_a_named_pair_that_does_not_work_is_an_error(tmp_path: Path) -> None:
    program(tmp_path / "llama-server")
    program(tmp_path / "rpc-server")
    with pytest.raises(EngineError, match="not usable"):
        await find_installed({"MESH_LLAMA_DIR": str(tmp_path)})


@pytest.mark.parametrize(
    ("output", "commit"),
    [
        ("version: 0.5.0-dev (build 1, commit 0c1e57098)\nbuilt with GNU", "0c1e57098"),
        ("ggml_cuda_init: found 1\nversion: 5986 (c82d48ec2f3a)\nbuilt with", "c82d48ec2"),
    ],
)
def test_the_commit_is_read_from_old_and_new_versions(output: str, commit: str) -> None:
    assert commit_in(output) == commit


def test_an_unknown_version_is_no_pair() -> None:
    with pytest.raises(PairError, match="tell its version"):
        commit_in("hello")


@pytest.mark.parametrize(
    ("devices", "kind"),
    [
        ("Available devices:\n  RPC0: 127.0.0.1:1 (24 MiB)", "cpu"),
        ("Available devices:\n  CUDA0: NVIDIA H200 (143771 MiB)\n  RPC0: x", "cuda"),
        ("Available devices:\n  MTL0: Apple M2 (1 MiB)", "metal"),
        ("Available devices:\n  Metal: Apple M2 (1 MiB)", "metal"),
        ("Available devices:\n  Vulkan0: Arc (1 MiB)", "vulkan"),
        ("Available devices:\n  ROCm0: Radeon (1 MiB)", "rocm"),
    ],
)
def test_a_pairs_backend_is_seen_in_its_devices(devices: str, kind: str) -> None:
    assert backend_in(devices) == kind
