import json

import pytest
import trio

from mesh.gateway.connection import MAX_BODY, MAX_HEAD
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
        (b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", b"400"),
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
    status, _, body = await gateway.fetch("GET", "/v1/models")
    assert status == 500
    assert json.loads(body)["error"]["code"] == "internal_error"
    assert "a bug" in caplog.text
    assert (await gateway.fetch("GET", "/healthz"))[0] == 200
