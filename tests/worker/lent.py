"""Devices that a machine lends."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lent:
    """By default the whole of a machine that has no GPU."""

    name: str = ""
    device: str = ""
    kind: str = "cpu"
    offered: int = 1 << 30


def part(number: int) -> Lent:
    """Of a divided processor."""
    return Lent(f"cpu:{number}", "CPU")
