"""What is kept of conversations, and what is done when that cannot be."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import trio

from leader.llama.local_http import Connect
from leader.llama.slots import Slots
from leader.placement.planner import place
from tests.leader.shapes import GIB, host, model_info

PLAN = place(model_info(8), [host(memory=GIB)], 512, 2)


class Server:
    """Answers the way llama-server does for its slots, of which the second one is empty."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        self.folder = folder
        self.silent = False

    async def answer(self, stream: trio.SocketStream) -> None:
        request = b""
        while not request.endswith(b"}"):
            request += await stream.receive_some(4096)
        line = request.split(b"\r\n")[0].decode()
        self.asked.append(line)
        if self.silent:
            await trio.sleep_forever()
        slot, action = line.split()[1].removeprefix("/slots/").split("?action=")
        tokens = 7 if slot == "0" else 0
        if action == "save":
            (self.folder / f"slot-{slot}").write_bytes(b"kv")
        number = "n_saved" if action == "save" else "n_restored"
        body = f'{{"id_slot": {slot}, "{number}": {tokens}}}'
        await stream.send_all(f"HTTP/1.0 200 OK\r\n\r\n{body}".encode())
        await stream.aclose()


def sizes(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_size for file in folder.iterdir()}


async def refused() -> trio.SocketStream:
    raise ConnectionRefusedError


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[Connect]:
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, server.answer, [listener])
        yield partial(trio.open_tcp_stream, "127.0.0.1", listener.socket.getsockname()[1])
        nursery.cancel_scope.cancel()


async def test_slots_are_kept_and_come_back_once(tmp_path: Path) -> None:
    slots, server = Slots(tmp_path / "slots", PLAN), Server(tmp_path / "slots")
    slots.prepare(restore=False)
    async with serving(server) as connect:
        assert await slots.keep(connect) == 7
        assert sizes(slots.folder) == {"slot-0": 2, "slot-1": 0}, "an empty slot leaves an empty file"
        slots.prepare(restore=True)
        assert await slots.restore(connect) == 7
        assert sizes(slots.folder) == {"slot-0": 0, "slot-1": 0}
        assert await slots.restore(connect) == 0
    assert [line.split("=")[1].split()[0] for line in server.asked] == ["save", "save", "restore"]


def test_where_no_folder_can_be_made_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert not Slots(tmp_path / "file" / "slots", PLAN).prepare(restore=False)
    assert Slots(tmp_path / "slots", PLAN).prepare(restore=False)


async def test_a_run_that_restores_nothing_drops_what_is_left(tmp_path: Path) -> None:
    slots = Slots(tmp_path, PLAN)
    for name in ("slot-0", "slot-7", "another"):
        (tmp_path / name).write_bytes(b"old")
    slots.prepare(restore=False)
    assert sizes(tmp_path) == {"slot-0": 0, "slot-1": 0}


async def test_files_that_no_slot_has_are_dropped_even_when_conversations_go_on(tmp_path: Path) -> None:
    slots = Slots(tmp_path, PLAN)
    for name in ("slot-0", "slot-7"):
        (tmp_path / name).write_bytes(b"old")
    slots.prepare(restore=True)
    assert sizes(tmp_path) == {"slot-0": 3, "slot-1": 0}


def test_a_deployment_that_has_ended_leaves_nothing(tmp_path: Path) -> None:
    slots = Slots(tmp_path / "slots", PLAN)
    slots.prepare(restore=False)
    slots.remove()
    assert list(tmp_path.iterdir()) == []


async def test_a_server_that_is_gone_keeps_nothing(tmp_path: Path) -> None:
    slots = Slots(tmp_path, PLAN)
    slots.prepare(restore=False)
    assert await slots.keep(refused) == 0


async def test_one_that_takes_too_long_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leader.llama.slots.KEEP_SECONDS", 0.05)
    slots, server = Slots(tmp_path, PLAN), Server(tmp_path)
    server.silent = True
    slots.prepare(restore=False)
    async with serving(server) as connect:
        assert await slots.keep(connect) == 0


async def test_too_small_a_disk_keeps_nothing(tmp_path: Path) -> None:
    vast = replace(PLAN, model_info=replace(PLAN.model_info, kv_bytes=(1 << 45,) * 8))
    assert await Slots(tmp_path, vast).keep(refused) == 0
