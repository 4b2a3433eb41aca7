import json
from contextlib import suppress

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from mesh.gateway.connection import MAX_BODY, MAX_HEAD, SEND_LIMIT, SLOWEST, Connection, HttpExchange
from mesh.gateway.replies import reply
from tests.mesh.gateway.conftest import StartGateway
from tests.mesh.gateway.doubles import Call

LIMIT = 5


async def echo(call: Call) -> None:
    _, body = await call.request()
    await call.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))


async def everything(stream: trio.SocketStream) -> bytes:
    received = b""
    with trio.fail_after(LIMIT):
        async for data in stream:
            received += data
    return received


async def test_a_connection_serves_one_request_after_the_other(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(echo)
    client = await gateway.connect()
    for text in (b"one", b"two"):
        await client.ask("POST", "/completion", text)
        assert (await client.answer())[2] == text


async def test_requests_sent_early_are_answered_in_their_order(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(echo)
    client = await gateway.connect()
    ask = b"POST /completion HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\n\r\n"
    await client.stream.send_all(
        ask + b"one" + ask + b"two" + b"GET /healthz HTTP/1.0\r\nhost: localhost\r\n\r\n"
    )
    received = await everything(client.stream)
    assert received.count(b"200 OK") + received.count(b"HTTP/1.1 200 ") >= 3
    assert received.index(b"one") < received.index(b"two") < received.index(b'"ok"')


async def test_a_large_request_sent_early_is_answered_in_its_turn(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(echo)
    client = await gateway.connect()
    large = b"x" * (4 * MAX_HEAD)
    ask = b"POST /completion HTTP/1.1\r\nhost: localhost\r\nconnection: %b\r\ncontent-length: %d\r\n\r\n"
    await client.stream.send_all(ask % (b"keep-alive", 3) + b"one" + ask % (b"close", len(large)) + large)
    received = await everything(client.stream)
    assert received.index(b"\r\n\r\none") < received.index(large)


async def test_a_body_in_chunks_arrives_whole(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(echo)
    client = await gateway.connect()
    await client.stream.send_all(
        b"POST /completion HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n"
        b"connection: close\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    assert (await everything(client.stream)).endswith(b"\r\n\r\nabcde")


async def test_a_client_that_waits_for_a_nod_gets_it(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(echo)
    client = await gateway.connect()
    await client.stream.send_all(
        b"POST /completion HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n"
    )
    with trio.fail_after(LIMIT):
        assert bytes(await client.stream.receive_some()).startswith(b"HTTP/1.1 100 ")
    await client.stream.send_all(b"ok")
    assert (await client.answer())[2] == b"ok"


async def test_a_body_over_the_limit_is_refused_before_it_is_read(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(echo)
    client = await gateway.connect()
    await client.stream.send_all(
        b"POST /completion HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % (MAX_BODY + 1)
    )
    with trio.fail_after(LIMIT):
        status, headers, body = await client.answer()
    assert (status, headers["connection"]) == (413, "close")
    assert json.loads(body)["error"]["message"] == "a request may have 64 MiB at most"


async def test_a_body_over_the_limit_is_refused_in_the_shape_of_its_path(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(echo)
    client = await gateway.connect()
    await client.stream.send_all(
        b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % (MAX_BODY + 1)
    )
    with trio.fail_after(LIMIT):
        status, _, body = await client.answer()
    assert (status, json.loads(body)["error"]["type"]) == (413, "request_too_large")


async def test_a_client_that_goes_on_sending_can_still_read_why_it_was_refused(
    start_gateway: StartGateway,
) -> None:
    gateway = await start_gateway(echo)
    client = await gateway.connect()
    head = b"POST /status HTTP/1.1\r\nhost: localhost\r\ncontent-length: 8000000\r\n\r\n"
    await client.stream.send_all(head + b"x" * 8_000_000)
    with trio.fail_after(LIMIT):
        assert (await client.answer())[0] == 405


async def test_chunks_without_end_are_refused_at_the_limit(
    start_gateway: StartGateway, nursery: trio.Nursery
) -> None:
    async def swallow(call: Call) -> None:
        await call.hung_up()

    gateway = await start_gateway(swallow)
    client = await gateway.connect()
    await client.stream.send_all(
        b"POST /completion HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
    )

    async def flood() -> None:
        mebibyte = b"100000\r\n" + b"x" * (1 << 20) + b"\r\n"
        try:
            for _ in range((MAX_BODY >> 20) + 1):
                await client.stream.send_all(mebibyte)
        except trio.BrokenResourceError:
            pass

    nursery.start_soon(flood)
    with trio.fail_after(20):
        assert (await client.answer())[0] == 413


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET http://localhost/ HTTP/1.1\r\nhost: localhost\r\n\r\n", b"400"),
        (b"CONNECT localhost:80 HTTP/1.1\r\nhost: localhost\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * 2 * MAX_HEAD + b"\r\n\r\n", b"431"),
        (b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: gzip\r\n\r\n", b"501"),
        (b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked, chunked\r\n\r\n", b"501"),
        (b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx", b"400"),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\norigin: http://localhost\r\norigin: a\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\nhost: localhost\n\n", b"400"),
        (b"GET / HTTP/2.0\r\nhost: localhost\r\n\r\n", b"505"),
    ],
)
async def test_what_is_no_proper_request_is_told_so(
    start_gateway: StartGateway, request_bytes: bytes, status: bytes
) -> None:
    gateway = await start_gateway()
    client = await gateway.connect()
    await client.stream.send_all(request_bytes)
    assert (await everything(client.stream)).startswith(b"HTTP/1.1 " + status)


async def test_a_body_that_breaks_its_own_framing_is_told_so(start_gateway: StartGateway) -> None:
    async def wait(call: Call) -> None:
        await call.hung_up()

    gateway = await start_gateway(wait)
    client = await gateway.connect()
    await client.stream.send_all(
        b"POST /completion HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n"
    )
    assert (await everything(client.stream)).startswith(b"HTTP/1.1 400")


async def test_an_upgrade_to_another_protocol_is_ignored(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    status, headers, _ = await gateway.fetch("GET", "/healthz", connection="upgrade", upgrade="websocket")
    assert status == 200
    assert "upgrade" not in headers


async def test_a_handler_that_fails_is_an_error_and_not_the_end(
    start_gateway: StartGateway, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = await start_gateway()
    gateway.node.error = ZeroDivisionError("a bug")
    status, _, body = await gateway.fetch("GET", "/props")
    assert status == 500
    assert json.loads(body)["error"]["code"] == "internal_error"
    assert "a bug" in caplog.text
    assert (await gateway.fetch("GET", "/healthz"))[0] == 200


BOTH = b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
NEXT = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"


@pytest.mark.parametrize("before", [b"", NEXT])
async def test_a_body_with_two_ends_is_refused_with_all_that_follows(
    start_gateway: StartGateway, before: bytes
) -> None:
    gateway = await start_gateway()
    client = await gateway.connect()
    await client.stream.send_all(before + b"POST /completion HTTP/1.1\r\nhost: localhost\r\n" + BOTH + NEXT)
    received = await everything(client.stream)
    assert received.count(b"HTTP/1.1 ") == (2 if before else 1)
    assert received.count(b"HTTP/1.1 400 ") == 1
    assert b"connection: close" in received.lower()


class Scene:
    """A connection in a clock of its own, and the client's end of it."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.client, server = trio.testing.memory_stream_pair()
        self.connection = Connection(server, self.answer, "127.0.0.1")
        self.answered = 0
        self.ended = trio.Event()
        nursery.start_soon(self.run)

    async def answer(self, exchange: HttpExchange) -> None:
        self.answered += 1
        await exchange.reply(reply(200, "text/plain", b"ok"))

    async def run(self) -> None:
        await self.connection.run()
        self.ended.set()

    async def lasts(self) -> float:
        began = trio.current_time()
        await self.ended.wait()
        return trio.current_time() - began


@pytest.mark.parametrize("first", [b"", b"G"])
async def test_the_first_head_must_come_within_ten_seconds(
    autojump_clock: MockClock, nursery: trio.Nursery, first: bytes
) -> None:
    scene = Scene(nursery)
    if first:
        await scene.client.send_all(first)
    assert await scene.lasts() == pytest.approx(10)
    assert scene.answered == 0


async def test_a_head_that_trickles_is_given_up_after_ten_seconds(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    scene = Scene(nursery)
    await scene.client.send_all(NEXT)
    await trio.sleep(50)
    assert (scene.answered, scene.ended.is_set()) == (1, False)

    async def trickle() -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            for byte in NEXT:
                await scene.client.send_all(bytes([byte]))
                await trio.sleep(1)

    nursery.start_soon(trickle)
    assert await scene.lasts() == pytest.approx(10)
    assert scene.answered == 1


async def test_a_connection_may_be_idle_between_requests_for_longer(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    scene = Scene(nursery)
    for _ in range(3):
        await scene.client.send_all(NEXT)
        await trio.sleep(70)
    assert scene.answered == 3
    assert await scene.lasts() == pytest.approx(5)


async def test_a_request_in_progress_takes_as_long_as_it_takes(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    scene = Scene(nursery)
    answered = trio.Event()

    async def slowly(exchange: HttpExchange) -> None:
        await trio.sleep(500)
        await exchange.reply(reply(200, "text/plain", b"ok"))
        answered.set()

    scene.connection._handler = slowly
    await scene.client.send_all(NEXT)
    await trio.sleep(1)
    assert scene.connection.idle_since is None
    scene.connection.close_when_idle()
    await answered.wait()
    await scene.ended.wait()
    assert b"200" in bytes(await scene.client.receive_some())


@pytest.mark.parametrize(("rate", "whole"), [(SLOWEST // 2, False), (2 * SLOWEST, True)])
async def test_a_client_that_reads_too_slowly_is_let_go(
    autojump_clock: MockClock, rate: int, whole: bool
) -> None:
    near, far = trio.testing.lockstep_stream_pair()

    async def answer(exchange: HttpExchange) -> None:
        await exchange.start(200, [])
        for _ in range(1000):
            await exchange.send(b"x" * 1024)

    received = 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Connection(far, answer, "").run)
        await near.send_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        with suppress(trio.BrokenResourceError):
            while piece := await near.receive_some(1024):
                received += len(piece)
                await trio.sleep(len(piece) / rate)
        await near.aclose()
    assert (received > 1000 * 1024) is whole
    assert trio.current_time() < 4 * SEND_LIMIT + received / SLOWEST
