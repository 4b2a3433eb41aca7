"""The protocol's messages over streams: what is too large for a datagram, framed and in order.

Each direction of a pair of members has a stream of its own. The sender opens it for its first message and
closes it after a quiet while. It also listens on it: a stream that breaks off without a goodbye says that the
peer's process is gone, long before any probe would.
"""

import logging
from collections.abc import Callable, Sequence

import trio

from mesh.net.session import Session, StreamError, StreamReset
from mesh.net.stream_kinds import StreamKind
from mesh.net.streams import Streams
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import DecodeError
from mesh.wire.identity import NodeId, id_text

log = logging.getLogger(__name__)

MAX_MESSAGE = 256 * 1024
"""Bytes of one protocol message."""

MAX_PEERS = 64
MAX_QUEUED = 32
"""Messages that may wait for one peer; gossip is repeated, so any above that are dropped."""

IDLE_SECONDS = 30.0
SEND_SECONDS = 10.0

_FRAMING = 8


class StreamMessages:
    """Sends messages to members and hands in theirs; never blocks its caller.

    ``on_message(peer, payload)`` gets what members sent; ``on_reset(peer)`` is called for a broken stream.
    """

    def __init__(
        self,
        streams: Streams,
        on_message: Callable[[NodeId, bytes], None],
        on_reset: Callable[[NodeId], None],
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._streams = streams
        self._on_message = on_message
        self._on_reset = on_reset
        self._idle_seconds = idle_seconds
        self._queues: dict[NodeId, trio.MemorySendChannel[bytes]] = {}
        self._nursery: trio.Nursery | None = None
        self.dropped = 0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Own the outgoing streams until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None

    def send(self, peer: NodeId, endpoints: Sequence[Endpoint], payload: bytes) -> bool:
        """Queue ``payload`` for ``peer``; False when it was dropped, for want of room or for its size."""
        queue = self._queues.get(peer)
        if queue is None:
            if self._nursery is None or len(self._queues) >= MAX_PEERS:
                self.dropped += 1
                return False
            queue, waiting = trio.open_memory_channel[bytes](MAX_QUEUED)
            self._queues[peer] = queue
            self._nursery.start_soon(self._converse, peer, tuple(endpoints), waiting)
        try:
            if len(payload) > MAX_MESSAGE:
                raise trio.WouldBlock
            queue.send_nowait(payload)
        except trio.WouldBlock:
            self.dropped += 1
            return False
        return True

    async def handle(self, session: Session) -> None:
        """The handler of incoming streams of this kind."""
        peer = session.peer
        assert peer is not None, "gossip is no open kind"
        try:
            while True:
                payload = await session.receive_message(MAX_MESSAGE + _FRAMING)
                if not isinstance(payload, bytes):
                    raise DecodeError("a gossip stream carries bytes alone")
                self._on_message(peer, payload)
        except StreamReset:
            self._on_reset(peer)
            raise

    async def _converse(
        self, peer: NodeId, endpoints: Sequence[Endpoint], waiting: trio.MemoryReceiveChannel[bytes]
    ) -> None:
        reset = False

        async def listen() -> None:
            nonlocal reset
            reset = await _breaks_off(session)
            nursery.cancel_scope.cancel()

        try:
            session = await self._streams.open(peer, endpoints, StreamKind.GOSSIP)
            try:
                with session.scope:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(listen)
                        reset = await self._pass_on(session, peer, waiting) or reset
                        nursery.cancel_scope.cancel()
            finally:
                self._end(peer, waiting)
                await session.aclose()
        except StreamError as error:
            log.debug("no gossip stream to %s: %s", id_text(peer), error)
        finally:
            self._end(peer, waiting)
        if reset:
            self._on_reset(peer)

    async def _pass_on(
        self, session: Session, peer: NodeId, waiting: trio.MemoryReceiveChannel[bytes]
    ) -> bool:
        """Send the queued messages until a quiet while; True if the stream broke off."""
        while True:
            with trio.move_on_after(self._idle_seconds) as idle:
                payload = await waiting.receive()
            if idle.cancelled_caught:
                if waiting.statistics().current_buffer_used:
                    continue
                # From here on no message may be queued for this stream any more.
                self._end(peer, waiting)
                return False
            with trio.move_on_after(SEND_SECONDS) as limit:
                try:
                    await session.send_message(payload)
                except StreamError as error:
                    return isinstance(error, StreamReset)
            if limit.cancelled_caught:
                return False

    def _end(self, peer: NodeId, waiting: trio.MemoryReceiveChannel[bytes]) -> None:
        """Take no more messages for this stream; drop those that wait."""
        queue = self._queues.get(peer)
        unsent = waiting.statistics().current_buffer_used
        waiting.close()
        if queue is not None and queue.statistics().open_receive_channels == 0:
            self.dropped += unsent
            del self._queues[peer]


async def _breaks_off(session: Session) -> bool:
    """Wait for the end of a stream on which the peer never speaks; True if it came without a goodbye."""
    try:
        await session.receive_message(0)
    except StreamReset:
        return True
    except (StreamError, DecodeError):
        pass
    return False
