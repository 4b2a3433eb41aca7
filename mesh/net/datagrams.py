"""Datagrams over the mesh's port: sending never waits, receiving is bounded, ICMP refusals are reported.

When the process behind an address has died, its kernel answers a datagram with ICMP "port unreachable". An
unconnected UDP socket does not show that by itself. On Linux an error queue does (ip(7), IP_RECVERR), and it
names the address that did not answer. Elsewhere nothing reports it, and membership finds out by probing.
"""

import contextlib
import errno
import logging
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from mesh.net.addresses import endpoint_of, socket_address
from mesh.net.metering import Meter
from mesh.protocol.base.drop_counters import DropCounters
from mesh.wire.endpoint import Endpoint

log = logging.getLogger(__name__)

MAX_DATAGRAM = 1200
"""Bytes of payload: fits a tailnet's MTU of 1280."""

QUEUE = 1024
"""Received datagrams of members that may wait for the protocol; any above that are dropped."""
STRANGE_QUEUE = 256
"""The same for datagrams from other hosts, which wait until none of a member's does."""
KNOWN_RATE, KNOWN_BURST = 2000.0, 8000.0
STRANGE_RATE, STRANGE_BURST = 200.0, 800.0
"""Datagrams a second, and at once: of each member's address, of each other host. Others are dropped."""

_BATCH = 64
_MSG_ERRQUEUE = 0x2000
_ORIGIN_ICMP = (2, 3)
_UNREACHABLE = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH)
_ADDITIONAL = struct.Struct("=IBBBBII")
"""struct sock_extended_err of linux/errqueue.h: errno, origin, type, code, padding, info, data."""


@dataclass(slots=True)
class Counts:
    """What became of datagrams since the start."""

    sent: int = 0
    received: int = 0
    send_dropped: int = 0
    unreachable: int = 0


class Datagrams:
    """Sends and receives on the UDP sockets of one bound port.

    It cuts off a flood from one host here, at the least cost. It hands in members' datagrams before those of
    other hosts.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        on_unreachable: Callable[[Endpoint], None] = lambda endpoint: None,
    ) -> None:
        self.is_known: Callable[[Endpoint], bool] = lambda source: False
        """Whether a member is known to send from there; attached by the stay in a pool."""
        self.on_unreachable = on_unreachable
        """Called with each address whose machine reports that no process listens; attached by the stay."""
        self.drops = DropCounters[str]()
        """What was not handed in: ``flood`` (too many of one source), ``overflow`` and ``oversized``."""
        self._sockets = tuple(sockets)
        self._by_family: dict[int, socket.socket] = {}
        for one in self._sockets:
            self._by_family.setdefault(one.family, one)
        self._known: deque[tuple[Endpoint, bytes]] = deque()
        self._strange: deque[tuple[Endpoint, bytes]] = deque()
        self._arrived = trio.Event()
        self._known_meter = Meter(KNOWN_RATE, KNOWN_BURST)
        self._strange_meter = Meter(STRANGE_RATE, STRANGE_BURST)
        self.port: int = self._sockets[0].getsockname()[1]
        self.counts = Counts()

    def send(self, endpoint: Endpoint, payload: bytes) -> bool:
        """Send now or drop. False, and a count, when it was dropped: any datagram may be lost."""
        resolved = socket_address(endpoint)
        one = None if resolved is None else self._by_family.get(resolved[0])
        if resolved is None or one is None or len(payload) > MAX_DATAGRAM:
            self.counts.send_dropped += 1
            return False
        # This call may report the error of an earlier datagram, and then sends nothing: try again.
        for _ in range(3):
            try:
                one.sendto(payload, resolved[1])
            except OSError as error:
                if error.errno not in _UNREACHABLE or not self._drain_errors(one):
                    break
            else:
                self.counts.sent += 1
                return True
        self.counts.send_dropped += 1
        return False

    async def receive(self) -> tuple[Endpoint, bytes]:
        """The next datagram and its source, members' first."""
        await trio.lowlevel.checkpoint()
        while not (self._known or self._strange):
            self._arrived = trio.Event()
            await self._arrived.wait()
        return (self._known or self._strange).popleft()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Read the sockets until cancelled, then close them."""
        try:
            async with trio.open_nursery() as nursery:
                for one in self._sockets:
                    nursery.start_soon(self._read, one)
                task_status.started()
        finally:
            for one in self._sockets:
                one.close()

    async def _read(self, one: socket.socket) -> None:
        while True:
            await trio.lowlevel.wait_readable(one)
            self._drain_errors(one)
            now = trio.current_time()
            for _ in range(_BATCH):
                try:
                    payload, source = one.recvfrom(MAX_DATAGRAM + 1)
                except (BlockingIOError, InterruptedError):
                    break
                except OSError as error:
                    # Reading the socket clears its pending error; the details are in the error queue.
                    if not self._drain_errors(one) and error.errno not in _UNREACHABLE:
                        log.warning("cannot receive: %s", error)
                    continue
                self._take(endpoint_of(source), payload, now)

    def _take(self, source: Endpoint, payload: bytes, now: float) -> None:
        known = self.is_known(source)
        queue, most = (self._known, QUEUE) if known else (self._strange, STRANGE_QUEUE)
        if len(payload) > MAX_DATAGRAM:
            self.drops.count("oversized", source)
        elif not self._may_come(source, known, now):
            self.drops.count("flood", source)
        elif len(queue) >= most:
            self.drops.count("overflow", source)
        else:
            queue.append((source, payload))
            self.counts.received += 1
            self._arrived.set()

    def _may_come(self, source: Endpoint, known: bool, now: float) -> bool:
        if known:
            return self._known_meter.take(source, now)
        return self._strange_meter.take(source.host, now)

    def _drain_errors(self, one: socket.socket) -> int:
        """Report every queued ICMP error; returns how many there were."""
        if sys.platform != "linux":
            return 0
        drained = 0
        # The queue must be emptied, else the socket stays readable; its length is bounded by the receive
        # buffer.
        with contextlib.suppress(OSError):
            while True:
                _, additional, _, destination = one.recvmsg(0, 512, _MSG_ERRQUEUE)
                drained += 1
                if destination and _is_refusal([data for _, _, data in additional]):
                    self.counts.unreachable += 1
                    self.on_unreachable(endpoint_of(destination))
        return drained


def _is_refusal(additional: Sequence[bytes]) -> bool:
    """Whether ancillary data of an error queue says by ICMP that a destination cannot be reached."""
    for data in additional:
        if len(data) >= _ADDITIONAL.size:
            number, origin, *_ = _ADDITIONAL.unpack_from(data)
            if origin in _ORIGIN_ICMP and number in _UNREACHABLE:
                return True
    return False
