"""Conversations that outlive their llama-server, or their slot: KV caches, saved to files and restored.

Such a file does not depend on the placement: two workers can restore what three held. It does depend on the
model and on the size of a slot. So it is kept for the same deployment alone, between the end of one
llama-server and the start of the next. Files at *places* are for the same llama-server: slots that were
parked to make room::

    <folder>/manifest.json       whose conversation each file holds: what it does not name is not restored
    <folder>/files/slot-<n>      all that llama-server may write
    <folder>/files/parked-<n>    the same
"""

import errno
import json
import logging
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import trio

from leader.door.slots.slot_content import SlotContent
from leader.llama.local_http import Connect, post
from leader.llama.slot_manifest import SavedSlot, SlotManifest
from leader.placement.planner import Plan

log = logging.getLogger(__name__)

KEEP_SECONDS: Final = 10.0
"""For all slots; a move waits no longer for what the next prompt can compute again."""
OVERHEAD_BYTES: Final = 16 << 20
SPARE_BYTES: Final = 256 << 20
"""Bytes of the disk that stay free in any case: the node's own state is written there."""
PLACES_PER_SLOT: Final = 2
DISK_SHARE: Final = 4
"""Parked slots have no more than one part in so many of what is free on the disk at the start."""
_MANIFEST: Final = "manifest.json"


class MovedSlot(NamedTuple):
    """A slot that was saved to a file, or loaded from it."""

    tokens: int
    bytes: int
    seconds: float


class Slots:
    """The slots of a pipeline's llama-server, as files below ``folder``: one a slot, one a place, no other.

    The files are there, empty, before llama-server starts: it may overwrite them and make none. ``model`` and
    ``projector`` are the roots of their hash trees.
    """

    def __init__(self, folder: Path, plan: Plan, model: bytes, projector: bytes = b"") -> None:
        self.folder = folder
        self.files = folder / "files"
        settings = plan.settings
        self._manifest = SlotManifest(model, settings.context, settings.slots, {}, settings.kv, projector)
        self._names = [f"slot-{slot}" for slot in range(plan.settings.slots)]
        self._parked_names: list[str] = []
        self._parked_bytes: dict[str, int] = {}
        self._saved: Mapping[int, SavedSlot] = {}
        self._saving = 0
        self._slot_bytes = plan.model_info.slot_bytes(plan.settings)

    @property
    def file_bytes(self) -> int:
        """The most bytes that a file may have: a slot's cache, its tokens, and what the engine adds."""
        return self._slot_bytes + self._slot_bytes // 8 + OVERHEAD_BYTES

    @property
    def places(self) -> int:
        """How many slots can be parked; 0 before ``prepare``."""
        return len(self._parked_names)

    @property
    def token_bytes(self) -> float:
        """About how many bytes of a file each token of a conversation takes."""
        return self._slot_bytes / self._manifest.context

    def prepare(self, restore: bool) -> bool:
        """Make the files; drop whatever an earlier run left, unless it is to ``restore``.

        Returns False if that cannot be done, as on a full disk: then nothing can be kept.
        """
        try:
            self._saved = self._read() if restore else {}
            if not self._saved:
                remove(self.folder)
            for folder in (self.folder, self.files):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for found in self.files.iterdir():
                if found.name not in self._names:
                    remove(found)
            room = max(0, self._free() - SPARE_BYTES) // DISK_SHARE // self.file_bytes
            places = min(PLACES_PER_SLOT * len(self._names), room)
            self._parked_names = [f"parked-{place}" for place in range(places)]
            for name in self._all_names:
                (self.files / name).touch(mode=0o600)
        except OSError as error:
            log.warning("conversations are not kept: %s: %s", self.folder, error.strerror)
            return False
        return True

    def clear(self) -> None:
        """Drop what is in the files, which stay."""
        with suppress(OSError):
            (self.folder / _MANIFEST).unlink(missing_ok=True)
        self._parked_bytes.clear()
        for name in self._all_names:
            with suppress(OSError):
                os.truncate(self.files / name, 0)

    def watch(self) -> str | None:
        """The reason to end a llama-server that writes more than it may; None where it does not.

        On a disk that is nearly full, what was saved is given up.
        """
        with suppress(OSError):
            with os.scandir(self.files) as found:  # one more than there may be tells as much as all
                sizes = {file.name: file.stat().st_size for file in islice(found, len(self._all_names) + 1)}
            if (reason := excess(sizes, self._all_names, self.file_bytes)) is not None:
                return reason
            if any(sizes.values()) and not self._saving and self._free() < SPARE_BYTES:
                log.warning("conversations are not kept: the disk is nearly full")
                self.clear()
        return None

    async def keep(self, connect: Connect, contents: Mapping[int, SlotContent]) -> Mapping[int, SavedSlot]:
        """Save each slot of ``contents`` that holds something, for that trust domain; returns what is kept.

        All or nothing is kept: nothing after ten seconds, and nothing on a disk that fills up meanwhile.
        """
        self.clear()
        try:
            with trio.move_on_after(KEEP_SECONDS), self._writing():
                self._check_room(self.file_bytes * len(contents))
                saved = {}
                for slot, content in contents.items():
                    if (written := await self._written(connect, slot, self._names[slot])) is not None:
                        saved[slot] = SavedSlot(content.domain, *written, content.beginnings)
                    self._check_room(0)
                self._write(saved)
                return saved
        except OSError as error:
            log.warning("conversations are not kept: %s", error.strerror)
        self.clear()
        return {}

    async def restore(self, connect: Connect) -> Mapping[int, SavedSlot]:
        """Load what was kept, and drop it; returns what the slots hold now. Gives up after ten seconds."""
        restored = {}
        saved, self._saved = self._saved, {}
        with trio.move_on_after(KEEP_SECONDS), suppress(OSError):
            for slot, file in saved.items():
                if (self.files / self._names[slot]).stat().st_size == file.bytes:
                    told = await self._ask(connect, slot, "restore", self._names[slot])
                    if told.get("n_restored"):
                        restored[slot] = file
        self.clear()
        return restored

    async def park(self, connect: Connect, slot: int, place: int) -> MovedSlot | None:
        """Save a slot at a place, where nothing lies afterwards if that fails (None).

        No time ends it: llama-server would still write, or load, when nobody expects it any more. It does
        that between two tokens, and it is its watchdog's to end it.
        """
        began, name = trio.current_time(), self._parked_names[place]
        self._parked_bytes.pop(name, None)
        with suppress(OSError), self._writing():
            self._check_room(self.file_bytes)
            if (written := await self._written(connect, slot, name)) is not None:
                self._parked_bytes[name] = written[1]
                return MovedSlot(*written, trio.current_time() - began)
        return None

    async def unpark(self, connect: Connect, place: int, slot: int) -> MovedSlot | None:
        """Load into a slot what lies at a place, and stays there; None where that fails."""
        began, name = trio.current_time(), self._parked_names[place]
        size = self._parked_bytes.get(name)
        with suppress(OSError):
            if size is not None and (self.files / name).stat().st_size == size:
                told = await self._ask(connect, slot, "restore", name)
                if tokens := told.get("n_restored"):
                    return MovedSlot(tokens, size, trio.current_time() - began)
        return None

    async def erase(self, connect: Connect, slot: int) -> bool:
        """Have a slot forget all; False where that fails.

        ``cache_prompt: false`` is not quite the same: a checkpoint of the very first token outlives it.
        """
        return "n_erased" in await self._ask(connect, slot, "erase", self._names[slot])

    @property
    def _all_names(self) -> list[str]:
        return self._names + self._parked_names

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._saving += 1
        try:
            yield
        finally:
            self._saving -= 1

    async def _written(self, connect: Connect, slot: int, name: str) -> tuple[int, int] | None:
        """Tokens and bytes of a slot in its file; None, and an empty file, for nothing or less than all."""
        told, file = await self._ask(connect, slot, "save", name), self.files / name
        tokens, size = told.get("n_saved"), told.get("n_written")
        if tokens and size and file.stat().st_size == size:
            return tokens, size
        os.truncate(file, 0)
        return None

    def _check_room(self, wanted: int) -> None:
        """Raise OSError where so many bytes and the spare ones are not free."""
        free = self._free()
        if free < wanted + SPARE_BYTES:
            raise OSError(errno.ENOSPC, f"{free >> 20} MiB of disk are too few")

    def _free(self) -> int:
        return shutil.disk_usage(self.folder).free

    def _read(self) -> Mapping[int, SavedSlot]:
        with suppress(OSError):
            return self._manifest.of_the_same((self.folder / _MANIFEST).read_bytes())
        return {}

    def _write(self, saved: Mapping[int, SavedSlot]) -> None:
        if not saved:
            return
        temporary = self.folder / f"{_MANIFEST}.new"
        temporary.write_bytes(replace(self._manifest, slots=saved).encode())
        temporary.replace(self.folder / _MANIFEST)

    async def _ask(self, connect: Connect, slot: int, action: str, name: str) -> dict[str, int]:
        """The numbers that llama-server reports; none when it refuses: that costs a prefill alone."""
        body = json.dumps({"filename": name}).encode()
        with suppress(OSError, trio.BrokenResourceError, ValueError):
            status, answer = await post(connect, f"/slots/{slot}?action={action}", body)
            told: Any = json.loads(answer)
            if status == 200 and isinstance(told, dict):
                return {name: number for name, number in told.items() if type(number) is int}
            log.warning("slot %d: %s was refused: %s", slot, action, answer[:200].decode(errors="replace"))
        return {}


def excess(sizes: Mapping[str, int], names: Collection[str], most: int) -> str | None:
    """Which file is not one of ``names`` or has more than ``most`` bytes, in words; None for none. Pure."""
    for name, size in sorted(sizes.items()):
        if name not in names:
            return f"made a file of its own, {name[:40]!r}"
        if size > most:
            return f"wrote {size >> 20} MiB to {name}, which may have {most >> 20}"
    return None


def are_kept(folder: Path) -> bool:
    """Whether that folder holds conversations for the next llama-server."""
    return (folder / _MANIFEST).exists()


def remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it, if it is there. Raises OSError."""
    with suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
