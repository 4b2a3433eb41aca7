import pytest
import trio
from trio.testing import MockClock

from mesh.net.connecting import STAGGER_SECONDS, connect_first
from mesh.net.session import Unreachable, WrongPeer
from mesh.net.tls import unproven_context
from mesh.wire.endpoint import Endpoint
from mesh.wire.identity import Identity

from .conftest import Lan

DEAD = Endpoint("127.0.0.1", 1)


async def test_the_second_address_is_tried_while_the_first_stays_silent(lan: Lan) -> None:
    async def stay_silent(stream: trio.SocketStream) -> None:
        async with stream:
            await trio.sleep_forever()

    b = await lan.host({})
    silent = await lan.foreign(stay_silent)
    with trio.fail_after(5):
        stream = await connect_first([silent, b.endpoint], unproven_context(), b.identity.public_key)
    assert stream.transport_stream.socket.getpeername()[1] == b.endpoint.port
    await stream.aclose()


async def test_a_refusal_starts_the_next_attempt_at_once(lan: Lan, mock_clock: MockClock) -> None:
    """The clock stands still: nobody may wait for the stagger."""
    b = await lan.host({})
    stream = await connect_first([DEAD, DEAD, b.endpoint], unproven_context(), None)
    assert mock_clock.current_time() < STAGGER_SECONDS
    await stream.aclose()


async def test_another_node_at_an_address_is_told_rather_than_a_dead_address(lan: Lan) -> None:
    b = await lan.host({})
    key = Identity.generate().public_key
    with pytest.raises(WrongPeer):
        await connect_first([DEAD, b.endpoint], unproven_context(), key)


async def test_an_address_that_is_none_is_told() -> None:
    with pytest.raises(Unreachable, match="no address that this machine can reach"):
        await connect_first([Endpoint("example.invalid", 5)], unproven_context(), None)
