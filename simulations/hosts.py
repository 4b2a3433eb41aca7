"""A simulated machine: its address, its clock, its disk, and the Node that runs on it, if there is one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

from mesh.protocol.node.node import Node
from mesh.wire.endpoint import Endpoint
from mesh.wire.identity import NodeId, Signer
from mesh.wire.profile import Profile
from simulations.programs import PRESENT

PORT = 50052


class HostSigner(Signer, Protocol):
    """A signer that knows the id of its key."""

    @property
    def id(self) -> NodeId: ...


class Disk(dict[str, bytes]):
    """What a machine stores: values by key, with the past that a state rollback returns to."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[tuple[float, str, bytes | None]] = []
        """Every write: when (seconds of the world), the key, and the value before."""

    def write(self, when: float, key: str, value: bytes) -> None:
        """Store a value, durably."""
        self.written.append((when, key, self.get(key)))
        self[key] = value

    def roll_back(self, when: float) -> int:
        """Return to the state of that time; returns how many writes that undid."""
        undone = 0
        while self.written and self.written[-1][0] > when:
            _, key, before = self.written.pop()
            if before is None:
                self.pop(key, None)
            else:
                self[key] = before
            undone += 1
        return undone


class Host:
    """A machine; ``run`` counts its processes, so that events for an earlier one are dropped."""

    def __init__(self, number: int, rank: int, signer: HostSigner) -> None:
        self.number = number
        self.signer = signer
        self.address = address(number)
        self.disk = Disk()
        self.profile = Profile(name=f"host{number}", addresses=(self.address,), rank=rank)
        self.program = PRESENT
        """What its next process runs."""
        self.node: Node | None = None
        self.run = 0
        self.stands_in = False
        """Whether it runs no Node, and the network answers in its place."""
        self.torn: Callable[[], None] | None = None
        """If set, its process dies over its next write, before or after it; then this is called."""
        self.powered = True
        """Whether the machine's kernel answers for a process that is gone."""
        self.paused_until = 0.0
        self.inbox: list[tuple[Any, ...]] = []
        """The events that wait for the end of a pause."""
        self.rate = 1.0
        self.offset = 0.0

    @property
    def id(self) -> NodeId:
        return self.signer.id

    def local(self, now: float) -> float:
        """What the host's clock shows at that time of the world."""
        return now * self.rate + self.offset

    def world_time(self, local: float) -> float:
        """The time of the world at which the host's clock shows that."""
        return (local - self.offset) / self.rate

    def readdress(self, address: Endpoint) -> None:
        """The machine has that address from now on, and says so when it publishes its profile next."""
        self.address = address
        self.profile = dataclasses.replace(self.profile, addresses=(address,))

    def set_rate(self, now: float, rate: float) -> None:
        """Let the clock run faster or slower from now on, without a jump."""
        self.offset += now * (self.rate - rate)
        self.rate = rate


def address(number: int) -> Endpoint:
    """The address of a host."""
    return Endpoint(f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", PORT)
