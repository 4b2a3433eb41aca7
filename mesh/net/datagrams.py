"""Datagrams over the mesh's port: sending never waits, receiving is bounded, refusals are told.

When the process behind an address has died, its kernel answers a datagram with ICMP "port unreachable". An
unconnected UDP socket does not show that on its own; on Linux an error queue does (ip(7), IP_RECVERR), and it
names the address that did not answer. Elsewhere nothing is told, and membership finds out by probing.
"""

import contextlib
import errno
import logging
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from mesh.net.addresses import endpoint_of, socket_address
from mesh.wire.endpoint import Endpoint

log = logging.getLogger(__name__)

MAX_DATAGRAM = 1200
"""Bytes of payload: fits a tailnet's MTU of 1280."""

QUEUE = 1024
"""Received datagrams that may wait for the protocol; what comes on top is dropped, as a full socket would."""

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
    sent_bytes: int = 0
    received: int = 0
    send_dropped: int = 0
    receive_dropped: int = 0
    refused_by_source: int = 0
    oversized: int = 0
    unreachable: int = 0


class Datagrams:
    """Sends and receives on the UDP sockets of one bound port.

    ``accepts(source)`` is asked before a datagram is queued: a flood from one address can be cut off there.
    ``on_unreachable(endpoint)`` hears of addresses whose machine said that nobody listens.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        on_unreachable: Callable[[Endpoint], None] = lambda endpoint: None,
        accepts: Callable[[Endpoint], bool] = lambda source: True,
    ) -> None:
        self._sockets = tuple(sockets)
        self._by_family: dict[int, socket.socket] = {}
        for one in self._sockets:
            self._by_family.setdefault(one.family, one)
        self._on_unreachable = on_unreachable
        self._accepts = accepts
        self._queue, self._received = trio.open_memory_channel[tuple[Endpoint, bytes]](QUEUE)
        self.port: int = self._sockets[0].getsockname()[1]
        self.counts = Counts()

    def send(self, endpoint: Endpoint, payload: bytes) -> bool:
        """Send now or drop; False (and a count) when it was dropped. A datagram gives no promise anyway."""
        resolved = socket_address(endpoint)
        one = None if resolved is None else self._by_family.get(resolved[0])
        if resolved is None or one is None or len(payload) > MAX_DATAGRAM:
            self.counts.send_dropped += 1
            return False
        # An error that an earlier datagram met may be reported by this call, which then sends nothing: try
        # again.
        for _ in range(3):
            try:
                one.sendto(payload, resolved[1])
            except OSError as error:
                if error.errno not in _UNREACHABLE or not self._drain_errors(one):
                    break
            else:
                self.counts.sent += 1
                self.counts.sent_bytes += len(payload)
                return True
        self.counts.send_dropped += 1
        return False

    async def receive(self) -> tuple[Endpoint, bytes]:
        """The next datagram and where it came from."""
        return await self._received.receive()

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
            for _ in range(_BATCH):
                try:
                    payload, source = one.recvfrom(MAX_DATAGRAM + 1)
                except (BlockingIOError, InterruptedError):
                    break
                except OSError as error:
                    # The socket's pending error is cleared by being read; its details are in the error queue.
                    if not self._drain_errors(one) and error.errno not in _UNREACHABLE:
                        log.warning("cannot receive: %s", error)
                    continue
                self._take(endpoint_of(source), payload)

    def _take(self, source: Endpoint, payload: bytes) -> None:
        if len(payload) > MAX_DATAGRAM:
            self.counts.oversized += 1
        elif not self._accepts(source):
            self.counts.refused_by_source += 1
        else:
            try:
                self._queue.send_nowait((source, payload))
                self.counts.received += 1
            except trio.WouldBlock:
                self.counts.receive_dropped += 1

    def _drain_errors(self, one: socket.socket) -> int:
        """Tell of every queued ICMP error; returns how many there were."""
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
                    self._on_unreachable(endpoint_of(destination))
        return drained


def _is_refusal(additional: Sequence[bytes]) -> bool:
    """Whether ancillary data of an error queue says by ICMP that a destination cannot be reached."""
    for data in additional:
        if len(data) >= _ADDITIONAL.size:
            number, origin, *_ = _ADDITIONAL.unpack_from(data)
            if origin in _ORIGIN_ICMP and number in _UNREACHABLE:
                return True
    return False
