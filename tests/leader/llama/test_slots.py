"""What is kept of conversations, and for whom, and what is done when that cannot be."""

import json
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from leader.door.slots.slot_content import SlotContent
from leader.llama.local_http import Connect
from leader.llama.slot_manifest import SavedSlot
from leader.llama.slots import PLACES_PER_SLOT, Slots, are_kept, excess, remove
from leader.model.engine_settings import EngineSettings
from leader.placement.planner import Plan, place
from mesh.runtime.state import write_durably
from tests.lab import disks
from tests.leader.shapes import GIB, full, host, model_info

PLAN = place(model_info(8), [host(memory=GIB)], EngineSettings(512, 2))
MODEL = b"m" * 32
ALL = {0: SlotContent("anna"), 1: SlotContent("anna")}
ANNAS = SlotContent("anna", (1, -2, 1 << 63), 7)
KEPT = {0: SavedSlot("anna", 7, 2)}


class Server:
    """Answers the way llama-server does for its slots, of which the second one is empty."""

    def __init__(self, folder: Path, meanwhile: Callable[[], None] = lambda: None) -> None:
        """``meanwhile`` is what happens to the machine between a save and its answer."""
        self.asked: list[str] = []
        self.folder = folder
        self.silent = False
        self.held = [7, 0]
        self.untold = 0
        self._meanwhile = meanwhile

    async def answer(self, stream: trio.SocketStream) -> None:
        request = b""
        while not request.endswith(b"}"):
            request += await stream.receive_some(4096)
        line = request.split(b"\r\n")[0].decode()
        self.asked.append(line)
        if self.silent:
            await trio.sleep_forever()
        slot, action = line.split()[1].removeprefix("/slots/").split("?action=")
        if action == "save":
            name = json.loads(request.split(b"\r\n\r\n")[1])["filename"]
            (self.folder / name).write_bytes(b"kv")
            self._meanwhile()
        names = {"save": ("n_saved", "n_written"), "erase": ("n_erased", "n_erased")}
        tokens, bytes = names.get(action, ("n_restored", "n_read"))
        told = {"id_slot": int(slot), tokens: self.held[int(slot)], bytes: 2 + self.untold, "timings": {}}
        await stream.send_all(f"HTTP/1.0 200 OK\r\n\r\n{json.dumps(told)}".encode())
        await stream.aclose()


def slots_in(folder: Path, plan: Plan = PLAN, model: bytes = MODEL) -> Slots:
    return Slots(folder, plan, model)


def sizes(folder: Path) -> dict[str, int]:
    """Of all files but those of places where nothing is parked."""
    found = {file.name: file.stat().st_size for file in (folder / "files").iterdir()}
    return {name: size for name, size in found.items() if size or not name.startswith("parked-")}


async def refused() -> trio.SocketStream:
    raise ConnectionRefusedError


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[Connect]:
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, server.answer, [listener])
        yield partial(trio.open_tcp_stream, "127.0.0.1", listener.socket.getsockname()[1])
        nursery.cancel_scope.cancel()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """The folder of a disk of its own."""
    folder = tmp_path / "disk"
    try:
        with disks.disk_at(folder):
            yield folder
    except RuntimeError:
        pytest.skip("a full disk needs a mount (root on Linux)")


async def test_slots_are_kept_and_come_back_once(tmp_path: Path) -> None:
    slots, server = slots_in(tmp_path / "slots"), Server(tmp_path / "slots" / "files")
    slots.prepare(restore=False)
    async with serving(server) as connect:
        assert await slots.keep(connect, ALL) == KEPT
        assert sizes(slots.folder) == {"slot-0": 2, "slot-1": 0}, "an empty slot leaves an empty file"
        assert are_kept(slots.folder)
        for expected in (KEPT, {}):
            following = slots_in(tmp_path / "slots")
            following.prepare(restore=True)
            assert await following.restore(connect) == expected
            assert sizes(slots.folder) == {"slot-0": 0, "slot-1": 0}
            assert not are_kept(slots.folder)
    assert [line.split("=")[1].split()[0] for line in server.asked] == ["save", "save", "restore"]


async def test_a_slot_comes_back_for_the_domain_that_it_was_kept_for(tmp_path: Path) -> None:
    slots, server = slots_in(tmp_path / "slots"), Server(tmp_path / "slots" / "files")
    server.held = [7, 9]
    slots.prepare(restore=False)
    async with serving(server) as connect:
        await slots.keep(connect, {0: ANNAS, 1: SlotContent("bert")})
        slots.prepare(restore=True)
        restored = await slots.restore(connect)
    assert {slot: saved.content for slot, saved in restored.items()} == {
        0: ANNAS,
        1: SlotContent("bert", (), 9),
    }


async def test_a_slot_that_is_nobodys_is_not_kept(tmp_path: Path) -> None:
    slots, server = slots_in(tmp_path / "slots"), Server(tmp_path / "slots" / "files")
    slots.prepare(restore=False)
    async with serving(server) as connect:
        assert await slots.keep(connect, {1: SlotContent("bert")}) == {}
    assert [line.split()[1] for line in server.asked] == ["/slots/1?action=save"]
    assert not are_kept(slots.folder)


@pytest.mark.parametrize("change", ["model", "context", "manifest", "damage"])
async def test_what_no_manifest_of_the_same_deployment_names_is_dropped(tmp_path: Path, change: str) -> None:
    slots, server = slots_in(tmp_path / "slots"), Server(tmp_path / "slots" / "files")
    slots.prepare(restore=False)
    async with serving(server) as connect:
        await slots.keep(connect, ALL)
        plan = (
            place(model_info(8), [host(memory=GIB)], EngineSettings(256, 2)) if change == "context" else PLAN
        )
        if change == "manifest":
            (slots.folder / "manifest.json").unlink()
        if change == "damage":
            (slots.folder / "manifest.json").write_bytes(b"{}")
        following = slots_in(slots.folder, plan, b"n" * 32 if change == "model" else MODEL)
        following.prepare(restore=True)
        assert sizes(slots.folder) == {"slot-0": 0, "slot-1": 0}
        assert await following.restore(connect) == {}
    assert not [line for line in server.asked if "restore" in line]


async def test_a_file_that_was_changed_since_is_not_restored(tmp_path: Path) -> None:
    slots, server = slots_in(tmp_path / "slots"), Server(tmp_path / "slots" / "files")
    slots.prepare(restore=False)
    async with serving(server) as connect:
        await slots.keep(connect, ALL)
        (slots.files / "slot-0").write_bytes(b"another's")
        slots.prepare(restore=True)
        assert await slots.restore(connect) == {}
    assert sizes(slots.folder) == {"slot-0": 0, "slot-1": 0}


async def test_a_file_that_lacks_what_was_written_to_it_is_not_kept(tmp_path: Path) -> None:
    slots, server = slots_in(tmp_path / "slots"), Server(tmp_path / "slots" / "files")
    server.untold = 4096
    slots.prepare(restore=False)
    async with serving(server) as connect:
        assert await slots.keep(connect, ALL) == {}
    assert sizes(slots.folder) == {"slot-0": 0, "slot-1": 0}


def test_where_no_folder_can_be_made_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert not slots_in(tmp_path / "file" / "slots").prepare(restore=False)
    assert slots_in(tmp_path / "slots").prepare(restore=False)


@pytest.mark.parametrize("restore", [False, True])
def test_whatever_is_left_is_dropped_before_a_server_starts(tmp_path: Path, restore: bool) -> None:
    folder = tmp_path / "slots"
    (folder / "files" / "invented").mkdir(parents=True)
    for name in ("slot-0", "slot-7", "another", "files/slot-1", "files/parked-0", "files/parked-99",
                 "files/invented/slot-0", "manifest.json.new"):  # fmt: skip
        (folder / name).write_bytes(b"old")
    (folder / "away").symlink_to(tmp_path)
    slots_in(folder).prepare(restore)
    assert sizes(folder) == {"slot-0": 0, "slot-1": 0}
    assert [file.name for file in folder.iterdir()] == ["files"]


async def test_files_that_no_slot_has_are_dropped_even_when_conversations_go_on(tmp_path: Path) -> None:
    slots, server = slots_in(tmp_path / "slots"), Server(tmp_path / "slots" / "files")
    slots.prepare(restore=False)
    async with serving(server) as connect:
        await slots.keep(connect, ALL)
    (slots.files / "slot-7").write_bytes(b"old")
    slots.prepare(restore=True)
    assert sizes(slots.folder) == {"slot-0": 2, "slot-1": 0}


@pytest.mark.parametrize("made", ["folder", "file", "link", "nothing"])
def test_whatever_has_the_folders_name_is_removed(tmp_path: Path, made: str) -> None:
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "slots"
    elsewhere.mkdir()
    (elsewhere / "file").touch()
    if made == "folder":
        shutil.copytree(elsewhere, folder)
    elif made == "file":
        folder.touch()
    elif made == "link":
        folder.symlink_to(elsewhere)
    remove(folder)
    assert [file.name for file in tmp_path.iterdir()] == ["elsewhere"]
    assert (elsewhere / "file").exists()


async def test_a_slot_is_parked_and_loaded_into_another_one(tmp_path: Path) -> None:
    slots, server = slots_in(tmp_path / "slots"), Server(tmp_path / "slots" / "files")
    slots.prepare(restore=False)
    assert slots.places == PLACES_PER_SLOT * PLAN.settings.slots
    async with serving(server) as connect:
        for _ in range(2):
            parked = await slots.park(connect, 0, 3)
            assert parked is not None
            assert (parked.tokens, parked.bytes) == (7, 2)
        server.held = [7, 7]
        loaded = await slots.unpark(connect, 3, 1)
    assert loaded is not None
    assert (loaded.tokens, loaded.bytes) == (7, 2)
    assert sizes(slots.folder) == {"slot-0": 0, "slot-1": 0, "parked-3": 2}, "it stays"
    assert server.asked[-1].startswith("POST /slots/1?action=restore")
    assert slots.watch() is None


async def test_where_nothing_was_parked_nothing_is_loaded(tmp_path: Path) -> None:
    slots, server = slots_in(tmp_path / "slots"), Server(tmp_path / "slots" / "files")
    slots.prepare(restore=False)
    async with serving(server) as connect:
        assert await slots.unpark(connect, 0, 0) is None
        assert await slots.park(connect, 1, 0) is None, "the slot is empty"
        assert await slots.unpark(connect, 0, 0) is None
        assert await slots.park(connect, 0, 1) is not None
        slots.clear()
        assert await slots.unpark(connect, 1, 0) is None
    assert sizes(slots.folder) == {"slot-0": 0, "slot-1": 0}


async def test_a_parked_file_that_was_changed_since_is_not_loaded(tmp_path: Path) -> None:
    slots, server = slots_in(tmp_path / "slots"), Server(tmp_path / "slots" / "files")
    slots.prepare(restore=False)
    async with serving(server) as connect:
        assert await slots.park(connect, 0, 1) is not None
        (slots.files / "parked-1").write_bytes(b"another's")
        assert await slots.unpark(connect, 1, 0) is None
    assert [line.split("=")[1].split()[0] for line in server.asked] == ["save"]


async def test_a_server_that_is_gone_parks_nothing(tmp_path: Path) -> None:
    slots = slots_in(tmp_path)
    slots.prepare(restore=False)
    assert await slots.park(refused, 0, 0) is None


async def test_a_slot_is_erased(tmp_path: Path) -> None:
    slots, server = slots_in(tmp_path / "slots"), Server(tmp_path / "slots" / "files")
    async with serving(server) as connect:
        assert await slots.erase(connect, 1)
    assert server.asked[0].startswith("POST /slots/1?action=erase")
    assert not await slots.erase(refused, 1)


async def test_parked_slots_do_not_outlive_their_server(tmp_path: Path) -> None:
    slots, server = slots_in(tmp_path / "slots"), Server(tmp_path / "slots" / "files")
    slots.prepare(restore=False)
    async with serving(server) as connect:
        await slots.park(connect, 0, 0)
        await slots.keep(connect, ALL)
        assert sizes(slots.folder) == {"slot-0": 2, "slot-1": 0}
        await slots.park(connect, 0, 0)
    slots_in(tmp_path / "slots").prepare(restore=True)
    assert sizes(slots.folder) == {"slot-0": 2, "slot-1": 0}


def test_a_small_disk_has_few_places(tmp_path: Path) -> None:
    vast = replace(PLAN, model_info=replace(PLAN.model_info, caches=(full(1 << 45),) * 8))
    slots = slots_in(tmp_path, vast)
    slots.prepare(restore=False)
    assert slots.places == 0


async def test_a_disk_that_fills_up_is_parked_on_no_more(disk: Path) -> None:
    slots, server = slots_in(disk / "slots"), Server(disk / "slots" / "files")
    slots.prepare(restore=False)
    async with serving(server) as connect:
        assert slots.places
        assert await slots.park(connect, 0, 0) is not None
        disks.fill(disk, of_files=False)
        assert await slots.park(connect, 0, 0) is None
        assert slots.watch() is None
        assert await slots.unpark(connect, 0, 1) is None
    assert sizes(slots.folder) == {"slot-0": 0, "slot-1": 0}


async def test_a_server_that_is_gone_keeps_nothing(tmp_path: Path) -> None:
    slots = slots_in(tmp_path)
    slots.prepare(restore=False)
    assert await slots.keep(refused, ALL) == {}


async def test_one_that_takes_too_long_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leader.llama.slots.KEEP_SECONDS", 0.05)
    slots, server = slots_in(tmp_path), Server(tmp_path)
    server.silent = True
    slots.prepare(restore=False)
    async with serving(server) as connect:
        assert await slots.keep(connect, ALL) == {}


async def test_too_small_a_disk_keeps_nothing(tmp_path: Path) -> None:
    vast = replace(PLAN, model_info=replace(PLAN.model_info, caches=(full(1 << 45),) * 8))
    slots, server = slots_in(tmp_path, vast), Server(tmp_path)
    slots.prepare(restore=False)
    async with serving(server) as connect:
        assert await slots.keep(connect, ALL) == {}
    assert server.asked == []


async def test_a_disk_that_fills_up_meanwhile_costs_conversations_alone(disk: Path) -> None:
    server = Server(disk / "slots" / "files", meanwhile=partial(disks.fill, disk, of_files=False))
    slots = slots_in(disk / "slots")
    slots.prepare(restore=False)
    async with serving(server) as connect:
        assert await slots.keep(connect, ALL) == {}
    assert sizes(slots.folder) == {"slot-0": 0, "slot-1": 0}
    assert not are_kept(slots.folder)
    write_durably(disk / "invites.json", b"{}")


async def test_conversations_that_wait_give_way_when_the_disk_fills_up(disk: Path) -> None:
    slots, server = slots_in(disk / "slots"), Server(disk / "slots" / "files")
    slots.prepare(restore=False)
    async with serving(server) as connect:
        await slots.keep(connect, ALL)
    assert slots.prepare(restore=True)
    assert slots.watch() is None
    assert are_kept(slots.folder)
    disks.fill(disk, of_files=False)
    assert slots.watch() is None
    assert sizes(slots.folder) == {"slot-0": 0, "slot-1": 0}
    assert not are_kept(slots.folder)
    write_durably(disk / "invites.json", b"{}")


def test_on_a_full_disk_no_files_are_made(disk: Path) -> None:
    disks.fill(disk)
    assert not slots_in(disk / "slots").prepare(restore=False)


@given(
    st.dictionaries(st.sampled_from(["slot-0", "slot-1", "slot-2", "x"]), st.integers(0, 20)),
    st.integers(0, 20),
)
def test_only_files_of_slots_within_their_size_are_no_excess(found: dict[str, int], most: int) -> None:
    allowed = all(name in ("slot-0", "slot-1") and size <= most for name, size in found.items())
    assert (excess(found, ["slot-0", "slot-1"], most) is None) == allowed


def test_a_server_that_writes_more_than_it_may_is_told_by_file_and_size(tmp_path: Path) -> None:
    slots = slots_in(tmp_path)
    slots.prepare(restore=False)
    assert slots.watch() is None
    os.truncate(slots.files / "slot-1", slots.file_bytes + 1)
    most = slots.file_bytes >> 20
    assert slots.watch() == f"wrote {most} MiB to slot-1, which may have {most}"
    (slots.files / "a file").touch()
    assert slots.watch() == "made a file of its own, 'a file'"


def test_a_folder_that_is_gone_is_no_excess(tmp_path: Path) -> None:
    assert slots_in(tmp_path / "nowhere").watch() is None


def test_the_state_of_recurrent_layers_has_room_in_a_file(tmp_path: Path) -> None:
    state = 64 << 20
    recurrent = replace(PLAN, model_info=replace(PLAN.model_info, caches=(full(512, 512, state=state),) * 8))
    assert slots_in(tmp_path, recurrent).file_bytes >= slots_in(tmp_path).file_bytes + state


def test_packed_conversations_take_smaller_files(tmp_path: Path) -> None:
    def bytes_of(kv: str) -> int:
        plan = place(model_info(8), [host(memory=GIB)], EngineSettings(4096, 1, kv))
        return Slots(tmp_path, plan, b"m" * 32).file_bytes

    assert bytes_of("f16") > bytes_of("q8_0") > bytes_of("q4_0")
