"""Hashes of a prompt's beginnings, by which two prompts are compared without their text. Pure.

Each is of one piece more than the one before, so two prompts have as much in common as they have equal
hashes from the first on. What does not fill a piece is in none: the next turn of a chat begins with all
hashes of the turn before.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from zlib import crc32

from leader.door.bodies.json_bodies import written

PIECE = 256
MOST_PIECES = 2048


def beginnings_of(parts: Iterable[bytes]) -> tuple[int, ...]:
    """Of a prompt in parts, one after the other. Of long prompts the first half MiB counts."""
    told = bytearray()
    for part in parts:
        told += part[: PIECE * MOST_PIECES]
        if len(told) >= PIECE * MOST_PIECES:
            break
    found, hashed = [], 0
    whole = memoryview(told)
    for start in range(0, min(len(told), PIECE * MOST_PIECES) - PIECE + 1, PIECE):
        hashed = crc32(whole[start : start + PIECE], hashed)
        found.append(hashed)
    return tuple(found)


def of_chat(body: Mapping[str, Any]) -> tuple[int, ...]:
    """Tools first, as templates tell them, then the messages in their order."""
    pieces = [body.get("tools", []), *body.get("messages", [])]
    return beginnings_of(written(piece) for piece in pieces)


def of_prompt(prompt: Any) -> tuple[int, ...]:
    """Of text, or ids of tokens; the end of either is left out, for a longer one has it later."""
    return beginnings_of([written(prompt)[:-1]])


def of_infill(body: Mapping[str, Any]) -> tuple[int, ...]:
    """In the engine's order: other files, what stands before, what stands after."""
    files = [written(each) for each in body.get("input_extra", [])]
    return beginnings_of([*files, written(body["input_prefix"])[:-1], written(body["input_suffix"])])
