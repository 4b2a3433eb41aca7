"""What agents cost while nothing happens: bytes sent, processor time, memory."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import trio

from tests.benchmarks.systems import Agent
from tests.lab.namespaces import INTERFACE

HEADERS = 14 + 20 + 8
"""Bytes of Ethernet, IPv4 and UDP headers around a datagram's payload."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What an interface has sent since it exists, Ethernet headers included."""

    bytes: int
    packets: int


@dataclass(frozen=True, slots=True)
class Idle:
    """One agent over one interval; the three of the network are None where it has no interface of its own."""

    wire_bytes_per_second: float | None
    payload_bytes_per_second: float | None
    packets_per_second: float | None
    cpu_percent: float
    rss_megabytes: float


def sent_by(table: str, interface: str = INTERFACE) -> Sent | None:
    """The interface's line of /proc/PID/net/dev; None without one."""
    for line in table.splitlines():
        name, _, counters = line.partition(":")
        if name.strip() == interface:
            fields = counters.split()
            return Sent(int(fields[8]), int(fields[9]))
    return None


async def measure(agents: Sequence[Agent], seconds: float, own_network: bool) -> list[Idle]:
    """Looks at the agents twice, so many seconds apart, and asks them nothing in between.

    ``own_network`` says that each agent has an interface for itself, whose counters are its own then.
    """
    before = [_look(agent.process, own_network) for agent in agents]
    await trio.sleep(seconds)
    after = [_look(agent.process, own_network) for agent in agents]
    return [_between(old, new) for old, new in zip(before, after, strict=True)]


@dataclass(frozen=True, slots=True)
class _Look:
    at: float
    sent: Sent | None
    cpu_seconds: float
    rss: int


def _look(process: psutil.Process, own_network: bool) -> _Look:
    """The agent's process with all of its children."""
    family = [process, *process.children(recursive=True)]
    times = [member.cpu_times() for member in family]
    table = Path(f"/proc/{process.pid}/net/dev")
    return _Look(
        time.monotonic(),
        sent_by(table.read_text()) if own_network and table.exists() else None,
        sum(spent.user + spent.system for spent in times),
        sum(member.memory_info().rss for member in family),
    )


def _between(old: _Look, new: _Look) -> Idle:
    elapsed = new.at - old.at
    wire = payload = packets = None
    if old.sent is not None and new.sent is not None:
        packets = (new.sent.packets - old.sent.packets) / elapsed
        wire = (new.sent.bytes - old.sent.bytes) / elapsed
        payload = wire - HEADERS * packets
    return Idle(
        wire, payload, packets, 100 * (new.cpu_seconds - old.cpu_seconds) / elapsed, new.rss / 1_000_000
    )
