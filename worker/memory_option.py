"""What a person lends: ``8G``, or an amount for each of several devices. Pure.

``cuda0=20G,cpu=0`` names devices as the engine does, in any case; those that are not named lend what they
would without the option. ``cpu:0=2G,cpu:1=2G`` divides the processor: each part is a device of its own.
"""

import re
from collections.abc import Mapping
from typing import Final

from mesh.wire.errors import MeshError
from mesh.wire.profile import MAX_DEVICE_NAME, MAX_DEVICES

MemoryOption = int | str
"""Bytes, for a machine of one device; else the text of `named_text`. As options are kept and passed on."""

_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE: Final = re.compile(r"(\d{1,30}(?:\.\d{1,30})?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_NAME: Final = re.compile(r"[a-z][a-z0-9_.-]*(?::[0-9])?")
_HINT: Final = "write it like 8G, or for several devices like cuda0=20G,cpu=4G"
PROCESSOR: Final = "cpu"
_LEAST: Final = 1 << 20
"""Bytes: less holds no layer. Who types it has left the unit out, mostly."""


def parse_size(text: str) -> int:
    """Bytes from ``60M``, ``8G``, ``1.5GiB`` or ``60000000``; units are powers of 1024. Raises MeshError."""
    size = _size(text)
    if size <= 0:
        raise MeshError(f"{text!r} is no amount of memory", "write it like 8G, 1.5GiB or 600M")
    return size


def parse_memory(text: str) -> MemoryOption:
    """The option as a person types it. Raises MeshError."""
    if "=" not in text and "," not in text:
        if _size(text) == 0:
            raise MeshError(f"{text!r} lends nothing", "write it like 8G; --no-work lends nothing at all")
        return parse_size(text)
    wanted: dict[str, int] = {}
    for part in text.split(","):
        name, equals, amount = (piece.strip() for piece in part.rpartition("="))
        name = name.lower()
        if not equals or not _NAME.fullmatch(name) or len(name) > MAX_DEVICE_NAME:
            raise MeshError(f"{part!r} is not DEVICE=AMOUNT", _HINT)
        if name in wanted:
            raise MeshError(f"{name} is given twice", "name each device once")
        wanted[name] = _size(amount)
        if wanted[name] < 0:
            raise MeshError(f"{amount!r} is no amount of memory", f"{_HINT}; 0 lends nothing of a device")
    if len(wanted) > MAX_DEVICES:
        raise MeshError(f"these are {len(wanted)} devices", f"a machine lends {MAX_DEVICES} at most")
    _check_parts(wanted)
    return named_text(wanted)


def named(option: str) -> dict[str, int]:
    """Bytes by the device's name in small letters, of an option that `parse_memory` has made."""
    amounts = (part.rpartition("=") for part in option.split(","))
    return {name: int(amount) for name, _, amount in amounts}


def named_text(wanted: Mapping[str, int]) -> str:
    """The same text for the same wish, whatever it was typed like."""
    return ",".join(f"{name}={amount}" for name, amount in sorted(wanted.items()))


def parts(wanted: Mapping[str, int]) -> list[str]:
    """The names of the processor's parts, in order; none where it is not divided."""
    return [name for name in sorted(wanted) if name.startswith(f"{PROCESSOR}:")]


def _check_parts(wanted: Mapping[str, int]) -> None:
    divided = parts(wanted)
    if divided and PROCESSOR in wanted:
        raise MeshError("the processor is named whole and in parts", "name cpu, or cpu:0, cpu:1 and so on")
    if divided != [f"{PROCESSOR}:{number}" for number in range(len(divided))]:
        raise MeshError(
            f"the processor's parts are {', '.join(divided)}", "count them from 0: cpu:0=2G,cpu:1=2G"
        )
    if any(wanted[name] == 0 for name in divided):
        raise MeshError("a part of the processor lends nothing", "leave it out")
    stranger = next((name for name in wanted if ":" in name and name not in divided), None)
    if stranger is not None:
        raise MeshError(f"{stranger}: the processor alone has parts", "name a GPU whole, such as cuda0=20G")


def _size(text: str) -> int:
    """Bytes, perhaps 0; -1 for what is no amount, or more than any machine has. Raises MeshError."""
    found = _SIZE.fullmatch(text.strip())
    size = int(float(found.group(1)) * _UNITS[found.group(2).upper()]) if found else -1
    if found and float(found.group(1)) > 0 and 0 <= size < _LEAST:
        raise MeshError(f"{text.strip()!r} is too little: {size} bytes", "lend 1M at least; 8G has its unit")
    return size if size < 1 << 63 else -1
