"""What the slots' files hold, and whose it is: written beside them, where llama-server cannot write. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from leader.door.slots.slot_content import SlotContent
from leader.model.engine_settings import DEFAULT_KV

SCHEMA: Final = 3


@dataclass(frozen=True, slots=True)
class SavedSlot:
    """A slot's file: the trust domain that may go on with it, its tokens, its bytes.

    ``beginnings`` are hashes of its prompt's, by which the domain's next request finds it.
    """

    domain: str
    tokens: int
    bytes: int
    beginnings: tuple[int, ...] = ()

    @property
    def content(self) -> SlotContent:
        """What the slot holds that was restored from this."""
        return SlotContent(self.domain, self.beginnings, self.tokens)

    def encode(self) -> dict[str, object]:
        """As JSON has it."""
        return {
            "domain": self.domain, "tokens": self.tokens, "bytes": self.bytes,
            "beginnings": list(self.beginnings),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class SlotManifest:
    """The slots that were saved, by number, and what their files depend on.

    These are the model (the root of its hash tree), the tokens of a slot, how many slots there are, the form
    of keys and values, and the projector (its root; empty without one), for there may be pictures in them.
    """

    model: bytes
    context: int
    count: int
    slots: Mapping[int, SavedSlot]
    kv: str = DEFAULT_KV
    projector: bytes = b""

    def encode(self) -> bytes:
        """As JSON."""
        slots = {str(slot): saved.encode() for slot, saved in self.slots.items()}
        content = {
            "schema": SCHEMA, "model": self.model.hex(), "context": self.context, "count": self.count,
            "kv": self.kv, "projector": self.projector.hex(), "slots": slots,
        }  # fmt: skip
        return json.dumps(content, indent=1).encode()

    def of_the_same(self, content: bytes) -> Mapping[int, SavedSlot]:
        """The saved slots that ``content`` lists, if it is a manifest of the same deployment; else none."""
        try:
            told = json.loads(content)
            slots = {
                int(slot): SavedSlot(
                    saved["domain"], saved["tokens"], saved["bytes"], tuple(saved["beginnings"])
                )
                for slot, saved in told["slots"].items()
            }
            # What was read is right if it says the same when it is written again.
            same = json.loads(replace(self, slots=slots).encode()) == told
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return {}
        return (
            slots if same and all(_is_sound(slot, saved, self.count) for slot, saved in slots.items()) else {}
        )


def _is_sound(slot: int, saved: SavedSlot, count: int) -> bool:
    numbers = saved.tokens, saved.bytes
    return (
        0 <= slot < count
        and isinstance(saved.domain, str)
        and all(type(number) is int and number > 0 for number in numbers)
        and all(type(beginning) is int for beginning in saved.beginnings)
    )
