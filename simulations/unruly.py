"""Workers whose rpc-server misbehaves, whatever their sidecar says: how, and which hosts do.

Their Nodes are as good as any: such a worker answers every ping. It claims memory and speed that nobody has,
so that every plan would rather count on it.
"""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from typing import Final

from simulations.hosts import Host

CLAIMED: Final = 10 << 40
"""Bytes of memory that an unruly worker claims to offer."""


class Manner(StrEnum):
    """What an rpc-server does to a llama-server that has connected."""

    GOOD = "serves"
    FAILS = "ends each load"
    DIES = "dies soon after each load"
    STANDS = "takes bytes and answers none"
    STOPS = "stops to answer soon after each load"
    REFUSES = "lets nothing in"
    LACKS = "has not the memory that it offers"


UNRULY: Final = tuple(manner for manner in Manner if manner is not Manner.GOOD)


class Manners:
    """The manner of each host of a world, and when an rpc-server last failed by its own fault."""

    def __init__(self) -> None:
        self._manners: dict[int, Manner] = {}
        self.failed_at: dict[int, float] = {}
        """By the number of the host, in seconds of the world."""

    def of(self, host: Host) -> Manner:
        return self._manners.get(host.number, Manner.GOOD)

    def behave(self, host: Host, manner: Manner) -> None:
        """From now on the host's rpc-server behaves so."""
        self._manners[host.number] = manner

    def calm(self) -> None:
        """All behave well from now on."""
        self._manners.clear()

    def spoil(self, host: Host, manner: Manner) -> None:
        """The host's rpc-server behaves so, and its record claims too much, before it starts."""
        self.behave(host, manner)
        host.profile = dataclasses.replace(
            host.profile,
            accelerator_kind="cuda",
            memory_total=2 * CLAIMED,
            memory_offered=CLAIMED,
            devices=(),
        )

    def failed(self, host: Host, now: float) -> None:
        """Note that its rpc-server fails."""
        self.failed_at[host.number] = now
