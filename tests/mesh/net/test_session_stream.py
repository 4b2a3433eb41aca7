"""A session is a stream like others."""

import trio

from mesh.net.session import Session
from mesh.net.session_stream import SessionStream
from tests.mesh.net.conftest import Lan, lan, members

__all__ = ["lan"]


async def test_a_session_is_a_stream_whose_end_closes_the_session(lan: Lan) -> None:
    closed = trio.Event()

    async def echo_once(session: Session) -> None:
        stream = SessionStream(session)
        await stream.send_all(await stream.receive_some(100))
        assert await stream.receive_some(100) == b""
        closed.set()

    a, b = await lan.host({}), await lan.host({"echo": echo_once})
    for one in (a, b):
        one.streams.trust(members(a.identity, b.identity))
    stream = SessionStream(await a.streams.open(b.id, [b.endpoint], "echo"))
    with trio.fail_after(5):
        await stream.wait_send_all_might_not_block()
        await stream.send_all(b"hello")
        assert await stream.receive_some(100) == b"hello"
        await stream.aclose()
        await closed.wait()
    assert a.streams._sessions == {}
