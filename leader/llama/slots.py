"""Conversations that outlive their llama-server: the KV cache of each slot, saved to a file and restored.

Such a file does not depend on the placement: two workers can restore what three held. It does depend on the
model and on the size of a slot. So it is kept for the same deployment alone, between the end of one
llama-server and the start of the next.
"""

import json
import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import trio

from leader.llama.local_http import Connect, post
from leader.placement.planner import Plan

log = logging.getLogger(__name__)

KEEP_SECONDS: Final = 10.0
"""For all slots; a move waits no longer for what the next prompt can compute again."""
OVERHEAD_BYTES: Final = 16 << 20
SPARE_BYTES: Final = 256 << 20
"""Bytes of the disk that stay free in any case."""


class Slots:
    """The slots of a pipeline's llama-server, as files in ``folder``: one file a slot, and no other.

    The files are there, empty, before llama-server starts: it may overwrite them and make none.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder = folder
        self._count = plan.slots
        info = plan.model_info
        self._slot_bytes = info.kv_bytes_per_layer_per_token * info.n_layers * plan.context

    @property
    def file_bytes(self) -> int:
        """The most bytes that a file may have: a slot's cache, its tokens, and what the engine adds."""
        return self._slot_bytes + self._slot_bytes // 8 + OVERHEAD_BYTES

    def prepare(self, restore: bool) -> bool:
        """Make the folder and its files; drop what an earlier run left in it, unless ``restore``.

        Returns False if that cannot be done, as on a full disk: then nothing can be kept.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            wanted = {self._file(slot) for slot in range(self._count)}
            for file in self.folder.iterdir():
                if not restore or file not in wanted:
                    file.unlink()
            for file in wanted:
                file.touch(mode=0o600)
        except OSError as error:
            log.warning("conversations are not kept: %s: %s", self.folder, error.strerror)
            return False
        return True

    def clear(self) -> None:
        """Drop what is in the files, which stay."""
        for slot in range(self._count):
            with suppress(OSError):
                os.truncate(self._file(slot), 0)

    def remove(self) -> None:
        """Drop the folder: a deployment has ended."""
        shutil.rmtree(self.folder, ignore_errors=True)

    async def keep(self, connect: Connect) -> int:
        """Save every slot that holds something; returns the number of tokens. Gives up after ten seconds."""
        self.clear()
        free = shutil.disk_usage(self.folder).free
        if free < self._slot_bytes * self._count + SPARE_BYTES:
            log.warning("conversations are not kept: %d MiB of disk are too few", free >> 20)
            return 0
        kept = 0
        with trio.move_on_after(KEEP_SECONDS):
            for slot in range(self._count):
                tokens = await self._ask(connect, slot, "save", "n_saved")
                if not tokens:
                    os.truncate(self._file(slot), 0)
                kept += tokens
            return kept
        self.clear()
        return 0

    async def restore(self, connect: Connect) -> int:
        """Load what was kept, and drop it; returns the number of tokens. Gives up after ten seconds."""
        restored = 0
        with trio.move_on_after(KEEP_SECONDS):
            for slot in range(self._count):
                if self._file(slot).stat().st_size:
                    restored += await self._ask(connect, slot, "restore", "n_restored")
        self.clear()
        return restored

    def _file(self, slot: int) -> Path:
        return self.folder / f"slot-{slot}"

    async def _ask(self, connect: Connect, slot: int, action: str, number: str) -> int:
        """The number of tokens that llama-server reports; 0 when it refuses: that costs a prefill alone."""
        body = json.dumps({"filename": self._file(slot).name}).encode()
        with suppress(OSError, trio.BrokenResourceError, ValueError):
            status, answer = await post(connect, f"/slots/{slot}?action={action}", body)
            told: Any = json.loads(answer)
            if status == 200 and isinstance(told, dict) and isinstance(told.get(number), int):
                return int(told[number])
            log.warning("slot %d: %s was refused: %s", slot, action, answer[:200].decode(errors="replace"))
        return 0
