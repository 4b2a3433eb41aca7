"""A use of llama-server is over when llama-server says so, however its client leaves."""

from collections.abc import AsyncIterator

import pytest
import trio

from mesh.serving.asking.engine_use import EngineUse


class Over:
    """Connections whose other ends are kept, and whether the use is over."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.servers: list[trio.SocketStream] = []
        self.overs: list[bool] = []
        self.use = EngineUse(self._connect, nursery, self._over)

    async def _connect(self) -> trio.SocketStream:
        ours, theirs = trio.socket.socketpair()
        self.servers.append(trio.SocketStream(theirs))
        return trio.SocketStream(ours)

    def _over(self) -> None:
        self.overs.append(True)


@pytest.fixture
async def over(nursery: trio.Nursery) -> AsyncIterator[Over]:
    made = Over(nursery)
    yield made
    for server in made.servers:
        await trio.aclose_forcefully(server)


async def settled() -> None:
    await trio.testing.wait_all_tasks_blocked(0.01)


async def test_it_is_over_when_the_other_end_is_closed(over: Over) -> None:
    stream = await over.use.connect()
    await stream.send_all(b"request")
    await trio.aclose_forcefully(stream)
    over.use.end()
    await settled()
    assert not over.overs, "it has not begun yet, perhaps"
    assert await over.servers[0].receive_some() == b"request"
    assert await over.servers[0].receive_some() == b"", "it is seen at once that the client has left"
    await over.servers[0].send_all(b"too late")
    await settled()
    assert not over.use.over.is_set()
    await over.servers[0].aclose()
    await over.use.over.wait()
    assert over.overs == [True]


async def test_a_whole_answer_is_over_at_once(over: Over) -> None:
    stream = await over.use.connect()
    over.use.answered()
    await trio.aclose_forcefully(stream)
    over.use.end()
    assert over.overs == [True]
    assert await over.servers[0].receive_some() == b""


async def test_a_whole_answer_does_not_speak_for_one_given_up_before(over: Over) -> None:
    await trio.aclose_forcefully(await over.use.connect())
    stream = await over.use.connect()
    over.use.answered()
    await trio.aclose_forcefully(stream)
    over.use.end()
    await settled()
    assert not over.overs
    await over.servers[0].aclose()
    await over.use.over.wait()


async def test_one_that_asked_nothing_is_over_at_once(over: Over) -> None:
    over.use.end()
    over.use.end()
    assert over.overs == [True]
    assert not over.use.has_asked
    with pytest.raises(trio.ClosedResourceError):
        await over.use.connect()


async def test_all_its_connections_must_be_over(over: Over) -> None:
    for _ in range(2):
        await trio.aclose_forcefully(await over.use.connect())
    over.use.end()
    await over.servers[1].aclose()
    await settled()
    assert not over.overs
    await over.servers[0].aclose()
    await over.use.over.wait()


async def test_the_end_of_a_connection_does_not_end_the_use(over: Over) -> None:
    await trio.aclose_forcefully(await over.use.connect())
    await over.servers[0].aclose()
    await settled()
    assert not over.overs
    over.use.end()
    assert over.overs == [True]


async def test_what_another_task_does_with_a_closed_connection_ends(
    over: Over, nursery: trio.Nursery
) -> None:
    stream = await over.use.connect()
    ended = trio.Event()

    async def receive() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await stream.receive_some()
        ended.set()

    nursery.start_soon(receive)
    await settled()
    await stream.aclose()
    await stream.aclose()
    await ended.wait()
    for using in (stream.receive_some(), stream.send_all(b"x"), stream.wait_send_all_might_not_block()):
        with pytest.raises(trio.ClosedResourceError):
            await using
    over.use.end()
    await over.servers[0].aclose()
    await over.use.over.wait()


async def test_a_server_that_dies_is_done(over: Over) -> None:
    stream = await over.use.connect()
    await stream.send_all(b"request")
    await over.servers[0].aclose()  # with a request unread: a reset
    await trio.aclose_forcefully(stream)
    over.use.end()
    await over.use.over.wait()


async def test_one_that_does_not_listen_was_not_asked(nursery: trio.Nursery) -> None:
    async def refused() -> trio.SocketStream:
        raise ConnectionRefusedError

    use = EngineUse(refused, nursery, lambda: None)
    with pytest.raises(ConnectionRefusedError):
        await use.connect()
    use.end()
    assert use.over.is_set()
    assert not use.has_asked
