"""Bytes between two sockets, moved by threads: the core of the tunnels and the gate.

Where the kernel can splice (Linux), bytes go from one socket through a pipe to the other without entering
this process; else a thread receives and sends them. The event loop cuts a bridge at once: it shuts both
sockets down, so whatever a thread still holds has nowhere to go.

TCP's own state shows a peer that vanished (see ``_Silence``). TCP_USER_TIMEOUT would not do: it also ends a
connection whose peer is alive and does not read for a while, as a worker does that computes.
"""

import contextlib
import enum
import errno
import fcntl
import os
import socket
import struct
import sys
import termios
import time
from collections.abc import Callable
from typing import Final

import trio

from mesh.net.stream_ends import End, Plain

LINGER: Final = 5.0
"""Seconds that one direction may continue after the other one ended."""

SILENCE_SECONDS: Final = 5.0
"""Seconds: a peer that acknowledges nothing for so long is gone."""

CAN_SPLICE: Final = hasattr(os, "splice")

_LOOK_SECONDS = 1.0
_PIPE_BYTES = 1 << 20
_SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ: fcntl names it on Linux alone
_CONNECTION_DROP_TIME = 0x80  # macOS: TCP_RXT_CONNDROPTIME
_LONGEST_RETRY = 44  # Linux 6.15: TCP_RTO_MAX_MS

Greeting = Callable[[End], bytes]
"""Reads a first message from an end and returns its replacement; ValueError to send nothing."""


class Ending(enum.Enum):
    """Which end ended a bridge, and how. *Near* is a program of this machine, *far* another machine."""

    NEAR_ENDED = "near ended"
    NEAR_BROKE = "near broke off"
    FAR_ENDED = "far ended"
    FAR_BROKE = "far broke off"
    FAR_SILENT = "far fell silent"
    MALFORMED = "a greeting was malformed"


class _Outcome(enum.Enum):
    ENDED = 0
    SOURCE_BROKE = 1
    SINK_BROKE = 2
    MALFORMED = 3
    SILENT = 4


_UNANSWERED: Final = frozenset(
    {errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN}
)
"""How TCP says that it gave up on a peer, or on the way there: the near end has no way that can be lost."""


def _broke(error: OSError, outcome: _Outcome) -> _Outcome:
    return _Outcome.SILENT if error.errno in _UNANSWERED else outcome


class Direction:
    """One way over a bridge; ``moved`` counts the bytes, as they go, ``moved_at`` is when the last ones did.

    In seconds of the system's monotonic clock.
    """

    def __init__(self, source: End, sink: End, greeting: Greeting | None, splice: bool) -> None:
        self.source = source
        self.sink = sink
        self.moved = 0
        self.moved_at = 0.0
        self._greeting = greeting
        self._splice = splice and isinstance(source, Plain) and isinstance(sink, Plain)

    def run(self) -> _Outcome:
        """Move bytes until the source ends or either side breaks. Blocks, so it has a thread of its own."""
        if self._greeting is not None:
            try:
                first = self._greeting(self.source)
            except ValueError:
                return _Outcome.MALFORMED
            except OSError as error:
                return _broke(error, _Outcome.SOURCE_BROKE)
            if not first:
                return _Outcome.ENDED
            if failed := self._send(memoryview(first)):
                return failed
        while isinstance(self.source, Plain) and self.source.pending:
            if failed := self._send(self.source.receive()):
                return failed
        outcome = self._by_splice() if self._splice else None
        return outcome or self._by_copy()

    def _send(self, data: memoryview) -> _Outcome | None:
        """Send all of it; how it failed, if it did."""
        try:
            self.sink.send(data)
        except OSError as error:
            return _broke(error, _Outcome.SINK_BROKE)
        self.moved += len(data)
        self.moved_at = time.monotonic()
        return None

    def _by_copy(self) -> _Outcome:
        receive, send = self.source.receive, self._send
        while True:
            try:
                data = receive()
            except OSError as error:
                return _broke(error, _Outcome.SOURCE_BROKE)
            if not data:
                return _Outcome.ENDED
            if failed := send(data):
                return failed

    def _by_splice(self) -> _Outcome | None:
        """Move bytes by splice; None where this kernel cannot splice such sockets: then nothing was moved."""
        try:
            reader, writer = os.pipe()
        except OSError:
            return None
        try:
            return self._through(reader, writer, _widened(writer))
        finally:
            os.close(reader)
            os.close(writer)

    def _through(self, reader: int, writer: int, room: int) -> _Outcome | None:
        splice, source, sink = os.splice, self.source.socket.fileno(), self.sink.socket.fileno()
        while True:
            try:
                count = splice(source, writer, room)
            except OSError as error:
                unable = error.errno in (errno.EINVAL, errno.ENOSYS)
                return None if unable else _broke(error, _Outcome.SOURCE_BROKE)
            if not count:
                return _Outcome.ENDED
            left = count
            while left:
                try:
                    left -= splice(reader, sink, left)
                except OSError as error:
                    return _broke(error, _Outcome.SINK_BROKE)
            self.moved += count
            self.moved_at = time.monotonic()


def _widened(pipe: int) -> int:
    """Widen the pipe as far as the system permits; returns its size in bytes."""
    try:
        return fcntl.fcntl(pipe, _SET_PIPE_SIZE, _PIPE_BYTES)
    except OSError:
        return 1 << 16


class Bridge:
    """Two ends joined: ``inward`` goes from far to near, ``outward`` from near to far. It owns both ends."""

    def __init__(
        self,
        near: End,
        far: End,
        on_end: Callable[[Ending], None] = lambda ending: None,
        *,
        asks: Greeting | None = None,
        answers: Greeting | None = None,
        splice: bool = CAN_SPLICE,
    ) -> None:
        """``on_end`` is called once with what ended it, unless ``cut`` did.

        ``asks`` sees the first message of the far end, ``answers`` that of the near one.
        """
        self.inward = Direction(far, near, asks, splice)
        self.outward = Direction(near, far, answers, splice)
        self._on_end = on_end
        self._near, self._far = near, far
        self._told = False
        self._running = 2
        self._limiter = trio.CapacityLimiter(2)

    @property
    def untaken(self) -> int:
        """Bytes sent to the far end that it has not taken yet, as far as the system tells."""
        count = bytearray(4)
        with contextlib.suppress(OSError, ValueError):
            fcntl.ioctl(self._far.socket, termios.TIOCOUTQ, count)
        return int.from_bytes(count, sys.byteorder)

    def cut(self) -> None:
        """End it at once: no byte passes after this returns. Call it from the event loop."""
        self._told = True
        self._near.cut()
        self._far.cut()

    async def run(self) -> None:
        """Run until both directions have ended, one breaks, or a cancellation. Leaves both ends closed."""
        try:
            with contextlib.suppress(OSError):  # it may be broken already: then the threads find that
                watch_over(self._far.socket)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._go, self.inward, nursery.cancel_scope)
                nursery.start_soon(self._go, self.outward, nursery.cancel_scope)
                nursery.start_soon(self._watch)
        finally:
            self._near.close()
            self._far.close()

    async def _go(self, direction: Direction, both: trio.CancelScope) -> None:
        # A cancellation does not abandon the thread: _watch then cuts the sockets, which ends it.
        outcome = await trio.to_thread.run_sync(direction.run, limiter=self._limiter)
        self._running -= 1
        if outcome is _Outcome.ENDED:
            with contextlib.suppress(OSError):
                direction.sink.finish()
        self._report(_ending(outcome, direction.source is self._near))
        if outcome is _Outcome.ENDED and self._running and direction.sink.half_closes:
            both.deadline = min(both.deadline, trio.current_time() + LINGER)
        else:
            both.cancel()

    async def _watch(self) -> None:
        silence = _Silence(self._far.socket)
        try:
            while True:
                await trio.sleep(_LOOK_SECONDS)
                if silence.too_long(trio.current_time()):
                    break
            self._report(Ending.FAR_SILENT)
        finally:
            self.cut()

    def _report(self, ending: Ending) -> None:
        if not self._told:
            self._told = True
            self._on_end(ending)


def _ending(outcome: _Outcome, from_near: bool) -> Ending:
    if outcome is _Outcome.MALFORMED:
        return Ending.MALFORMED
    if outcome is _Outcome.ENDED:
        return Ending.NEAR_ENDED if from_near else Ending.FAR_ENDED
    if outcome is _Outcome.SILENT:
        return Ending.FAR_SILENT
    near_broke = from_near == (outcome is _Outcome.SOURCE_BROKE)
    return Ending.NEAR_BROKE if near_broke else Ending.FAR_BROKE


def watch_over(connection: socket.socket) -> None:
    """Let TCP probe an idle peer and give up within seconds, but wait for one that is alive and does not
    read.
    """
    if connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # macOS has another name for the first.
    for name, value in (("TCP_KEEPIDLE", 2), ("TCP_KEEPALIVE", 2), ("TCP_KEEPINTVL", 1), ("TCP_KEEPCNT", 4)):
        option = getattr(socket, name, None)
        if option is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
    if sys.platform == "linux":
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 0)
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, _LONGEST_RETRY, int(SILENCE_SECONDS * 1000))
    elif sys.platform == "darwin":
        connection.setsockopt(socket.IPPROTO_TCP, _CONNECTION_DROP_TIME, int(SILENCE_SECONDS))


class _Silence:
    """How long a connection's peer has acknowledged nothing of what was sent to it.

    A full receiver acknowledges probes of its window; a machine that is gone acknowledges nothing.
    """

    # struct tcp_info of linux/tcp.h: 8 bytes, of which the third and fourth count retransmissions and window
    # probes in a row; the 13th of the numbers behind them is the ms since the last acknowledgement.
    _INFO = struct.Struct("=2xBB4x48xI")

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._since: float | None = None

    def too_long(self, now: float) -> bool:
        """Whether the peer counts as gone; the caller asks about once a second."""
        unanswered, quiet = self._look()
        if not unanswered:
            self._since = None
            return False
        self._since = now if self._since is None else self._since
        return min(now - self._since, quiet) >= SILENCE_SECONDS - _LOOK_SECONDS

    def _look(self) -> tuple[bool, float]:
        """Whether anything waits for an acknowledgement in vain, and the seconds since the last one came."""
        if sys.platform != "linux":
            return False, 0.0
        try:
            info = self._connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, self._INFO.size)
            retransmits, probes, quiet = self._INFO.unpack(info)
        except (OSError, struct.error):  # no TCP
            return False, 0.0
        return bool(retransmits or probes), quiet / 1000
