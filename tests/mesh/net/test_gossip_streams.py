from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import trio

from mesh.net import gossip_streams as module
from mesh.net.gossip_streams import MAX_MESSAGE, StreamMessages
from mesh.net.session import Session
from mesh.net.stream_kinds import StreamKind
from mesh.net.streams import Streams
from mesh.wire.endpoint import Endpoint
from mesh.wire.identity import Identity, NodeId

from .conftest import Lan, members


class Talker:
    """A node with messages over streams; ``incoming`` and ``resets`` are what it heard."""

    def __init__(self, streams: Streams, idle_seconds: float = 30.0) -> None:
        self._in, self.incoming = trio.open_memory_channel[tuple[NodeId, bytes]](1000)
        self._reset_in, self.resets = trio.open_memory_channel[NodeId](1000)
        self.sessions = 0
        self.messages = StreamMessages(
            streams,
            lambda peer, payload: self._in.send_nowait((peer, payload)),
            self._reset_in.send_nowait,
            idle_seconds,
        )

    async def handle(self, session: Session) -> None:
        self.sessions += 1
        await self.messages.handle(session)


@dataclass
class Both:
    a: Talker
    b: Talker
    a_id: NodeId
    b_id: NodeId
    b_streams: Streams
    at_b: list[Endpoint]


@pytest.fixture
async def both(lan: Lan) -> AsyncIterator[Both]:
    talkers: list[Talker] = []

    async def handle(session: Session) -> None:
        await talkers[1].handle(session)

    a, b = await lan.host({}), await lan.host({StreamKind.GOSSIP: handle})
    for one in (a, b):
        one.streams.trust(members(a.identity, b.identity))
        talkers.append(Talker(one.streams))
    async with trio.open_nursery() as nursery:
        for talker in talkers:
            await nursery.start(talker.messages.run)
        yield Both(talkers[0], talkers[1], a.id, b.id, b.streams, [b.endpoint])
        nursery.cancel_scope.cancel()


async def test_messages_arrive_in_order_over_one_stream(both: Both) -> None:
    for number in range(20):
        assert both.a.messages.send(both.b_id, both.at_b, str(number).encode())
    with trio.fail_after(5):
        got = [await both.b.incoming.receive() for _ in range(20)]
    assert got == [(both.a_id, str(number).encode()) for number in range(20)]
    assert both.b.sessions == 1


async def test_a_message_of_the_largest_size_arrives_and_a_larger_one_is_dropped(both: Both) -> None:
    assert not both.a.messages.send(both.b_id, both.at_b, bytes(MAX_MESSAGE + 1))
    assert both.a.messages.dropped == 1
    assert both.a.messages.send(both.b_id, both.at_b, bytes(MAX_MESSAGE))
    with trio.fail_after(5):
        assert len((await both.b.incoming.receive())[1]) == MAX_MESSAGE


async def test_what_no_queue_holds_is_dropped(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_QUEUED", 3)
    sent = [both.a.messages.send(both.b_id, both.at_b, b"x") for _ in range(5)]
    assert sent == [True, True, True, False, False]
    assert both.a.messages.dropped == 2


async def test_more_peers_than_the_bound_are_dropped(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PEERS", 1)
    assert both.a.messages.send(both.b_id, both.at_b, b"x")
    assert not both.a.messages.send(Identity.generate().id, both.at_b, b"x")


async def test_a_stream_that_breaks_off_is_told_on_both_sides_and_replaced(both: Both) -> None:
    both.a.messages.send(both.b_id, both.at_b, b"one")
    with trio.fail_after(5):
        await both.b.incoming.receive()
        (session,) = both.b_streams._sessions[both.a_id]
        session.stream.transport_stream.socket.close()
        assert await both.a.resets.receive() == both.b_id
        while not both.a.messages.send(both.b_id, both.at_b, b"two"):
            await trio.lowlevel.checkpoint()
        assert await both.b.incoming.receive() == (both.a_id, b"two")


async def test_a_stream_that_the_peer_closes_in_good_order_is_no_reset(both: Both) -> None:
    both.a.messages.send(both.b_id, both.at_b, b"one")
    with trio.fail_after(5):
        await both.b.incoming.receive()
        (session,) = both.b_streams._sessions[both.a_id]
        await session.aclose()
        while both.a.messages._queues:
            await trio.lowlevel.checkpoint()
    with pytest.raises(trio.WouldBlock):
        both.a.resets.receive_nowait()


async def test_a_peer_that_cannot_be_reached_costs_its_messages_alone(both: Both) -> None:
    both.a.messages.send(both.b_id, [Endpoint("127.0.0.1", 1)], b"lost")
    with trio.fail_after(5):
        while both.a.messages._queues:
            await trio.lowlevel.checkpoint()
        assert both.a.messages.dropped == 1
        assert both.a.messages.send(both.b_id, both.at_b, b"found")
        assert (await both.b.incoming.receive())[1] == b"found"


async def test_an_idle_stream_is_closed_and_a_new_one_opened_when_needed(both: Both) -> None:
    both.a.messages._idle_seconds = 0.01
    with trio.fail_after(5):
        for number in (1, 2):
            both.a.messages.send(both.b_id, both.at_b, b"now and then")
            await both.b.incoming.receive()
            while both.a.messages._queues:
                await trio.lowlevel.checkpoint()
            assert both.b.sessions == number
    with pytest.raises(trio.WouldBlock):
        both.b.resets.receive_nowait()


async def test_nothing_is_queued_before_it_runs() -> None:
    messages = Talker(Streams(Identity.generate())).messages
    assert not messages.send(Identity.generate().id, [], b"x")
