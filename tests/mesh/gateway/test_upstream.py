"""The gateway's end of an exchange with the leader's llama-server."""

import pytest
import trio.testing
from trio.testing import MockClock

from mesh.gateway.upstream import SILENCE, Upstream, UpstreamLost


async def test_a_leader_that_ends_before_it_answers_is_lost_in_plain_words() -> None:
    here, there = trio.testing.memory_stream_pair()
    async with Upstream(here) as upstream:
        await upstream.send_head("GET", b"/health", [(b"host", b"localhost")])
        await upstream.end_request()
        await there.send_eof()
        with pytest.raises(UpstreamLost, match="ended the connection without an answer"):
            await upstream.receive_head()


async def test_a_whole_request_goes_out_in_one_piece() -> None:
    here, there = trio.testing.memory_stream_pair()
    async with Upstream(here) as upstream:
        headers = [(b"host", b"localhost"), (b"content-length", b"2")]
        await upstream.send_request("POST", b"/completion", headers, b"{}")
        sent = bytes(await there.receive_some())
        assert sent.startswith(b"POST /completion HTTP/1.1\r\n")
        assert sent.endswith(b"\r\n\r\n{}")
        await there.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        assert (await upstream.receive_head()).status == 200


async def test_an_answer_that_breaks_off_is_no_whole_one() -> None:
    here, there = trio.testing.memory_stream_pair()
    async with Upstream(here) as upstream:
        await upstream.send_head("GET", b"/health", [(b"host", b"localhost")])
        await upstream.end_request()
        await there.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await there.send_eof()
        assert (await upstream.receive_head()).status == 200
        assert await upstream.receive() == b"half"
        with pytest.raises(UpstreamLost, match="broke off"):
            await upstream.receive()


async def test_a_doubted_leader_is_lost_when_it_falls_silent(autojump_clock: MockClock) -> None:
    here, there = trio.testing.memory_stream_pair()
    async with Upstream(here) as upstream:
        await upstream.send_head("GET", b"/health", [(b"host", b"localhost")])
        await upstream.end_request()
        upstream.doubt("another leads")
        await there.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        assert await upstream.receive_head()
        assert await upstream.receive() == b"half"
        with pytest.raises(UpstreamLost, match="another leads"):
            await upstream.receive()


async def test_a_leader_no_longer_doubted_may_be_silent_again(autojump_clock: MockClock) -> None:
    here, there = trio.testing.memory_stream_pair()
    async with Upstream(here) as upstream, trio.open_nursery() as nursery:
        await upstream.send_head("GET", b"/health", [(b"host", b"localhost")])
        await upstream.end_request()

        async def answer() -> None:
            await trio.sleep(SILENCE / 2)
            upstream.doubt("")
            await trio.sleep(10 * SILENCE)
            await there.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        nursery.start_soon(answer)
        upstream.doubt("another leads")
        assert (await upstream.receive_head()).status == 200
