"""A sidecar from its start to its end: it founds, joins, comes back, leaves, and says why it cannot."""

import logging
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from mesh.control.control_client import ask
from mesh.control.control_errors import NotRunning
from mesh.control.operations import JoinArgs, JoinResult, ProgressEvent
from mesh.control.paths import eviction_path, socket_path
from mesh.control.sidecar_options import SidecarOptions
from mesh.member import lending
from mesh.net.datagrams import Datagrams
from mesh.net.versions_preface import ProgramVersion
from mesh.protocol.node.node import Node
from mesh.root import sidecar as module
from mesh.root.sidecar import Sidecar, main
from mesh.runtime.engine_keeper import EngineKeeper
from mesh.runtime.state import StateDir
from mesh.wire.errors import MeshError
from mesh.wire.versions import Versions
from tests.mesh.machines import QuietMdns
from tests.waiting import until

LIMIT = 20


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No multicast, and no engine, which would be built."""

    async def run(keeper: EngineKeeper) -> None:
        await trio.lowlevel.checkpoint()

    monkeypatch.setattr(module, "Mdns", lambda addresses: QuietMdns())
    monkeypatch.setattr(EngineKeeper, "run", run)


@pytest.fixture
def folder() -> Iterator[Path]:
    """One whose path is short enough for a socket."""
    path = Path(tempfile.mkdtemp(prefix="mesh-"))
    yield path
    shutil.rmtree(path)


def options(folder: Path, name: str = "anna") -> SidecarOptions:
    bind = f"127.{random.randrange(1, 255)}.{random.randrange(256)}.{random.randrange(1, 255)}"
    usual: dict[str, Any] = {"name": name, "bind": bind, "port": 0, "api_port": 0, "tailscaled_socket": "off"}
    return SidecarOptions(folder / name, given=usual)


class Running:
    """A sidecar in this process, asked as commands ask it."""

    def __init__(self, folder: Path, name: str) -> None:
        self.sidecar = Sidecar(options(folder, name))
        self.state: StateDir = self.sidecar.state
        self.told: list[ProgressEvent] = []
        self.joined: list[JoinResult] = []
        self.ended = trio.Event()

    async def run(self, join: JoinArgs | None, started: trio.Event) -> None:
        def on_joined(result: JoinResult) -> None:
            self.joined.append(result)
            started.set()

        await self.sidecar.run(join, self.told.append, on_joined)
        self.ended.set()

    async def ask(self, operation: str, **args: Any) -> Any:
        path = socket_path(str(self.state.path))
        return await trio.to_thread.run_sync(ask, path, operation, args, abandon_on_cancel=True)


@asynccontextmanager
async def running(folder: Path, name: str = "anna", join: JoinArgs | None = None) -> AsyncIterator[Running]:
    """Started, and joined if it is to join; stopped in the end if it has not ended by itself."""
    one, started = Running(folder, name), trio.Event()
    with trio.fail_after(LIMIT):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.run, join, started)
            if join is None:
                await until((one.state.path / "sidecar.pid").exists)
            else:
                await started.wait()
            yield one
            one.sidecar.stopping.set()


def word_left(state: StateDir) -> str:
    """Why the node is in no pool any more, as commands will tell."""
    return Path(eviction_path(str(state.path))).read_text()


FOUND: JoinArgs = {"found": True}


async def test_a_founder_answers_commands_until_it_is_stopped(folder: Path) -> None:
    async with running(folder, join=FOUND) as anna:
        (result,) = anna.joined
        assert result["how"] == "founded"
        assert (await anna.ask("info"))["joined"] is True
        assert (await anna.ask("status"))["pool"] == result["pool"]
        await anna.ask("shutdown")
        await anna.ended.wait()
    assert not (anna.state.path / "sidecar.pid").exists()
    with pytest.raises(NotRunning):
        await anna.ask("info")


async def test_a_full_disk_does_not_keep_it_from_running(folder: Path) -> None:
    (folder / "anna").mkdir(mode=0o700)
    (folder / "anna/sidecar.pid").symlink_to("/dev/full")
    async with running(folder, join=FOUND) as anna:
        assert (await anna.ask("status"))["members"]


async def test_it_comes_back_to_its_pool(folder: Path) -> None:
    async with running(folder, join=FOUND) as before:
        pool = before.joined[0]["pool"]
    async with running(folder) as after:
        assert after.sidecar.pool is not None
        assert (await after.ask("status"))["pool"] == pool
        assert (await after.ask("info"))["joined"] is True


async def test_a_member_that_cannot_speak_with_its_pool_says_so_and_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(folder, join=FOUND) as anna:
        token = anna.joined[0]["token"]
        assert token is not None
        host = f"{anna.sidecar.options.bind}:{anna.sidecar.machine.port}"
        async with running(folder, "bert", {"host": host, "token": token}) as bert:
            await until(lambda: bool(bert.state.load("peers")))
        monkeypatch.setattr(Datagrams, "send", lambda *_: None)
        anna.sidecar.machine.streams.here = ProgramVersion(Versions(5, 6), "0.9.0")
        async with trio.open_nursery() as nursery:
            again = Running(folder, "bert")
            anywhere: JoinArgs = {}
            nursery.start_soon(again.run, anywhere, trio.Event())
            await until(lambda: bool(again.told), LIMIT)
            assert again.told[-1]["text"].startswith(
                f"{anna.sidecar.options.bind} speaks wire version 5 and 6"
            )
            assert (await again.ask("info"))["joined"] is True
            again.sidecar.stopping.set()
        assert again.joined == []


async def test_left_for_good_it_comes_back_to_no_pool(folder: Path) -> None:
    async with running(folder, join=FOUND) as anna:
        await anna.ask("leave", purge=False)
        await anna.ended.wait()
    assert anna.state.current_pool() is None
    async with running(folder) as again:
        assert again.sidecar.pool is None


async def test_a_purge_takes_the_key_along(folder: Path) -> None:
    async with running(folder, join=FOUND) as anna:
        assert (anna.state.path / "identity.key").exists()
        await anna.ask("leave", purge=True)
        await anna.ended.wait()
    assert not (anna.state.path / "identity.key").exists()


async def test_an_evicted_machine_ends_itself_and_leaves_word_why(folder: Path) -> None:
    async with running(folder, join=FOUND) as anna:
        token = anna.joined[0]["token"]
        assert token is not None
        host = f"{anna.sidecar.options.bind}:{anna.sidecar.machine.port}"
        async with running(folder, "bert", {"host": host, "token": token}) as bert:
            assert bert.joined[0]["how"] == "joined"
            await anna.ask("evict", member=bert.joined[0]["self"]["id"])
            await bert.ended.wait()
    assert "was evicted from pool" in word_left(bert.state)
    assert bert.state.current_pool() is None


async def test_a_machine_evicted_while_away_does_not_come_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(folder, join=FOUND):
        pass
    monkeypatch.setattr(Node, "is_evicted", lambda node, id: True)
    async with running(folder) as again:
        assert again.sidecar.pool is None
    assert "was evicted from pool" in word_left(again.state)


async def test_a_stay_that_fails_takes_the_sidecar_along(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise MeshError("the memory cannot be measured")

    monkeypatch.setattr(lending, "measure", broken)
    with pytest.raises(ExceptionGroup) as caught:
        async with running(folder, join=FOUND):
            await trio.sleep_forever()
    assert caught.group_contains(MeshError, match="cannot be measured")


def test_the_program_ends_with_the_error_for_a_person(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "log_to", lambda options: None)
    monkeypatch.setattr(module, "keep_out_of_dumps", lambda: None)  # the tests go on in this process
    host = "127.0.0.1:1"
    with caplog.at_level(logging.ERROR), pytest.raises(MeshError, match=f"{host} does not answer"):
        main(options(folder), {"host": host})
    assert [record.levelname for record in caplog.records if record.name == module.__name__] == ["ERROR"]


LOOK = """
import ctypes, pathlib, resource, sys
from mesh.control.sidecar_options import SidecarOptions
from mesh.root import sidecar

def run(*_):
    dumpable = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) if sys.platform == "linux" else 0
    print(*resource.getrlimit(resource.RLIMIT_CORE), dumpable, (state / "identity.key").exists())

state, sidecar.trio.run = pathlib.Path(sys.argv[1]), run
sidecar.main(SidecarOptions(state))
"""


def test_before_it_reads_a_key_it_sees_to_it_that_no_dump_holds_one(folder: Path) -> None:
    command = [sys.executable, "-c", LOOK, str(folder / "anna")]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=LIMIT)
    assert done.stdout.split() == ["0", "0", "0", "False"]
