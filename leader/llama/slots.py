"""Conversations that outlive their llama-server: the KV cache of each slot, saved to a file and restored.

Such a file does not depend on the placement: two workers can restore what three held. It does depend on the
model and on the size of a slot. So it is kept for the same deployment alone, between the end of one
llama-server and the start of the next.
"""

import json
import logging
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import trio

from leader.llama.local_http import post
from leader.placement.planner import Plan

log = logging.getLogger(__name__)

KEEP_SECONDS: Final = 10.0
"""For all slots; a move waits no longer for what the next prompt can compute again."""
SPARE_BYTES: Final = 256 << 20
"""Bytes of the disk that stay free in any case."""


class Slots:
    """The slots of a pipeline's llama-server, as files in ``folder``: at most one file a slot."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder = folder
        self._count = plan.slots
        self._bytes = (
            plan.model_info.kv_bytes_per_layer_per_token
            * plan.model_info.n_layers
            * plan.context
            * plan.slots
        )

    def prepare(self, restore: bool) -> bool:
        """Make the folder; drop what an earlier run left in it, unless ``restore``.

        Returns False if the folder cannot be made, as on a full disk: then nothing can be kept.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            log.warning("conversations are not kept: %s: %s", self.folder, error.strerror)
            return False
        if not restore:
            self.clear()
        return True

    def clear(self) -> None:
        """Drop all files."""
        for file in self.folder.glob("slot-*"):
            self._drop(file)

    def _drop(self, file: Path) -> None:
        with suppress(OSError):
            file.unlink()

    async def keep(self, port: int) -> int:
        """Save every slot that holds something; returns the number of tokens. Gives up after ten seconds."""
        self.clear()
        free = shutil.disk_usage(self.folder).free
        if free < self._bytes + SPARE_BYTES:
            log.warning("conversations are not kept: %d MiB of disk are too few", free >> 20)
            return 0
        kept = 0
        with trio.move_on_after(KEEP_SECONDS):
            for slot in range(self._count):
                tokens = await self._ask(port, slot, "save", "n_saved")
                if not tokens:
                    self._drop(self._file(slot))
                kept += tokens
            return kept
        self.clear()
        return 0

    async def restore(self, port: int) -> int:
        """Load what was kept, drop the files; returns the number of tokens. Gives up after ten seconds."""
        restored = 0
        with trio.move_on_after(KEEP_SECONDS):
            for slot in range(self._count):
                if self._file(slot).exists():
                    restored += await self._ask(port, slot, "restore", "n_restored")
        self.clear()
        return restored

    def _file(self, slot: int) -> Path:
        return self.folder / f"slot-{slot}"

    async def _ask(self, port: int, slot: int, action: str, number: str) -> int:
        """The number of tokens that llama-server reports; 0 when it refuses: that costs a prefill alone."""
        body = json.dumps({"filename": self._file(slot).name}).encode()
        with suppress(OSError, trio.BrokenResourceError, ValueError):
            status, answer = await post(port, f"/slots/{slot}?action={action}", body)
            told: Any = json.loads(answer)
            if status == 200 and isinstance(told, dict) and isinstance(told.get(number), int):
                return int(told[number])
            log.warning("slot %d: %s was refused: %s", slot, action, answer[:200].decode(errors="replace"))
        return 0
