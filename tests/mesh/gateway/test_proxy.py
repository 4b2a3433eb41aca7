import json

import h11
import httpx
import pytest
import trio
import trio.testing

from leader.door.orders import Refused
from mesh.gateway import proxy
from mesh.gateway.backend import AskingRefused, NotReady
from mesh.net.stream_kinds import StreamKind
from mesh.wire.errors import MeshError
from tests.mesh.gateway.conftest import RunningGateway, StartGateway
from tests.mesh.gateway.doubles import END, Call, chunk, sse

LIMIT = 5
CHAT = "/v1/chat/completions"


async def metric(gateway: RunningGateway, name: str) -> float:
    _, _, body = await gateway.fetch("GET", "/metrics")
    return next(float(line.split()[-1]) for line in body.decode().splitlines() if line.startswith(name + " "))


async def test_a_request_reaches_the_leader_as_it_was_sent(start_gateway: StartGateway) -> None:
    seen: list[tuple[h11.Request, bytes]] = []

    async def leader(call: Call) -> None:
        seen.append(await call.request())
        await call.send(
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-mine: 1\r\nkeep-alive: timeout=5\r\n\r\n{}"
        )

    gateway = await start_gateway(leader)
    status, headers, body = await gateway.fetch(
        "POST",
        "/v1/embeddings?a=%20b",
        b'{"input": "x"}',
        content_type="application/json",
        authorization="Bearer not-for-the-leader",
        connection="keep-alive, x-hop",
        x_hop="1",
        x_end="2",
    )
    assert (status, body) == (200, b"{}")
    assert headers["x-mine"] == "1"
    assert "keep-alive" not in headers
    [(head, sent)] = seen
    assert (head.method, head.target, sent) == (b"POST", b"/v1/embeddings?a=%20b", b'{"input": "x"}')
    assert dict(head.headers) == {
        b"host": b"localhost",
        b"content-type": b"application/json",
        b"content-length": b"14",
        b"x-end": b"2",
    }


async def test_a_length_is_kept_even_if_the_client_calls_it_a_matter_of_the_hop(
    start_gateway: StartGateway,
) -> None:
    async def leader(call: Call) -> None:
        _, body = await call.request()
        await call.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    gateway = await start_gateway(leader)
    assert (await gateway.fetch("POST", "/completion", b"abc", connection="content-length"))[2] == b"abc"


async def test_tokens_come_back_one_by_one_as_they_are_made(start_gateway: StartGateway) -> None:
    seen = trio.Event()

    async def leader(call: Call) -> None:
        await call.request()
        await call.send(sse('{"token":1}'))
        await seen.wait()
        await call.send(chunk(b'data: {"token":2}\n\n') + chunk(b"data: [DONE]\n\n") + END)

    gateway = await start_gateway(leader)
    client = await gateway.connect()
    await client.ask("POST", CHAT, b"{}")
    with trio.fail_after(LIMIT):
        assert (await client.head()).status_code == 200
        assert await client.piece() == b'data: {"token":1}\n\n'
        seen.set()
        assert await client.rest() == b'data: {"token":2}\n\ndata: [DONE]\n\n'


async def test_a_body_goes_on_before_it_is_whole(start_gateway: StartGateway) -> None:
    started = trio.Event()

    async def leader(call: Call) -> None:
        data = b""
        while b"begin" not in data:
            data += bytes(await call.stream.receive_some())
        started.set()
        while b"end" not in data:
            data += bytes(await call.stream.receive_some())
        await call.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    gateway = await start_gateway(leader)
    client = await gateway.connect()
    await client.stream.send_all(
        b"POST /v1/embeddings HTTP/1.1\r\nhost: localhost\r\ncontent-length: 8\r\n\r\nbegin"
    )
    with trio.fail_after(LIMIT):
        await started.wait()
        await client.stream.send_all(b"end")
        assert (await client.answer())[0] == 200


async def test_an_ordinary_http_library_is_content(start_gateway: StartGateway) -> None:
    async def leader(call: Call) -> None:
        await call.request()
        await call.send(sse("1", "2", "[DONE]") + END)

    gateway = await start_gateway(leader)
    url = f"http://127.0.0.1:{gateway.port}{CHAT}"
    async with (
        httpx.AsyncClient(trust_env=False) as client,
        client.stream("POST", url, json={"stream": True}) as response,
    ):
        assert [line async for line in response.aiter_lines() if line] == [
            "data: 1",
            "data: 2",
            "data: [DONE]",
        ]


@pytest.mark.parametrize("answered", [True, False])
async def test_a_hang_up_cancels_the_leaders_work_within_a_second(
    start_gateway: StartGateway, answered: bool
) -> None:
    begun, cancelled = trio.Event(), trio.Event()

    async def leader(call: Call) -> None:
        await call.request()
        if answered:
            await call.send(sse('{"token":1}'))
        begun.set()
        await call.hung_up()
        cancelled.set()

    gateway = await start_gateway(leader)
    client = await gateway.connect()
    await client.ask("POST", CHAT, b"{}")
    if answered:
        await client.head()
        await client.piece()
    with trio.fail_after(LIMIT):
        await begun.wait()
    await client.stream.aclose()
    with trio.fail_after(1):
        await cancelled.wait()
    assert await metric(gateway, "mesh_gateway_cancelled_total") == 1
    assert await metric(gateway, "mesh_gateway_requests_in_flight") == 0


async def test_a_hang_up_is_noticed_while_tokens_flow(start_gateway: StartGateway) -> None:
    cancelled = trio.Event()

    async def leader(call: Call) -> None:
        await call.request()
        await call.send(sse())
        try:
            while True:
                await call.send(chunk(b"data: x\n\n"))
        except trio.BrokenResourceError:
            cancelled.set()

    gateway = await start_gateway(leader)
    client = await gateway.connect()
    await client.ask("POST", CHAT, b"{}")
    await client.head()
    await client.piece()
    await client.stream.aclose()
    with trio.fail_after(1):
        await cancelled.wait()


async def test_a_hang_up_is_noticed_while_the_leader_is_still_looked_for(
    start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await start_gateway()
    looking, given_up = trio.Event(), trio.Event()

    async def search(kind: StreamKind = StreamKind.API) -> trio.abc.Stream:
        looking.set()
        try:
            await trio.sleep_forever()
        finally:
            given_up.set()
        raise AssertionError

    monkeypatch.setattr(gateway.node, "open_leader", search)
    client = await gateway.connect()
    await client.ask("GET", "/props")
    with trio.fail_after(LIMIT):
        await looking.wait()
    await client.stream.aclose()
    with trio.fail_after(1):
        await given_up.wait()


async def test_not_ready_is_told_with_its_reason_and_when_to_come_again(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    gateway.node.error = NotReady("the model is loading, 40%", 2.5)
    status, headers, body = await gateway.fetch("POST", CHAT, b"{}", x_mesh_patience="0")
    assert (status, headers["retry-after"]) == (503, "3")
    error = {
        "message": "the model is loading, 40%",
        "type": "server_error",
        "code": "not_ready",
        "param": None,
    }
    assert json.loads(body) == {"error": error}


async def test_a_llama_server_that_is_loading_is_given_a_time_to_retry(start_gateway: StartGateway) -> None:
    async def leader(call: Call) -> None:
        await call.request()
        await call.send(b"HTTP/1.1 503 Loading\r\ncontent-length: 2\r\n\r\n{}")

    gateway = await start_gateway(leader)
    status, headers, _ = await gateway.fetch("GET", "/props")
    assert (status, headers["retry-after"]) == (503, "2")


@pytest.mark.parametrize(
    "error", [OSError("refused"), trio.BrokenResourceError(), MeshError("the gate is shut")]
)
async def test_a_leader_that_cannot_be_reached_is_a_bad_gateway(
    start_gateway: StartGateway, error: Exception
) -> None:
    gateway = await start_gateway()
    gateway.node.error = error
    status, _, body = await gateway.fetch("GET", "/props", x_mesh_patience="0")
    assert status == 502
    assert json.loads(body)["error"]["code"] == "upstream_lost"
    assert await metric(gateway, 'mesh_gateway_upstream_failures_total{stage="open"}') == 1


async def test_a_leader_that_dies_before_the_first_byte_is_a_bad_gateway(start_gateway: StartGateway) -> None:
    async def leader(call: Call) -> None:
        await call.request()

    gateway = await start_gateway(leader)
    status, _, body = await gateway.fetch("POST", CHAT, b"{}")
    assert status == 502
    assert json.loads(body)["error"]["type"] == "server_error"
    assert await metric(gateway, 'mesh_gateway_upstream_failures_total{stage="first_byte"}') == 1


async def test_a_leader_that_refuses_the_rest_of_a_request_is_still_heard(
    start_gateway: StartGateway,
) -> None:
    async def leader(call: Call) -> None:
        await call.stream.receive_some()
        await call.send(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")

    gateway = await start_gateway(leader)
    gateway.node.streams = trio.testing.memory_stream_pair
    with trio.fail_after(LIMIT):
        assert (await gateway.fetch("POST", CHAT, b"x" * 1_000_000))[0] == 413


async def test_a_leader_that_dies_in_mid_stream_leaves_an_error_event_and_no_half_event(
    start_gateway: StartGateway,
) -> None:
    async def leader(call: Call) -> None:
        await call.request()
        await call.send(sse('{"token":1}') + chunk(b'data: {"tok'))

    gateway = await start_gateway(leader)
    status, _, body = await gateway.fetch("POST", CHAT, b"{}")
    assert status == 200
    first, second, rest = body.split(b"\n\n")
    assert (first, rest) == (b'data: {"token":1}', b"")
    assert json.loads(second.removeprefix(b"data: "))["error"]["code"] == "upstream_lost"
    assert await metric(gateway, 'mesh_gateway_upstream_failures_total{stage="stream"}') == 1


async def test_a_stream_that_ends_in_good_order_but_too_early_is_an_error_too(
    start_gateway: StartGateway,
) -> None:
    async def leader(call: Call) -> None:
        await call.request()
        await call.send(sse('{"token":1}') + END)

    gateway = await start_gateway(leader)
    _, _, body = await gateway.fetch("POST", CHAT, b"{}")
    assert b'"message":"the leader stopped before the answer\'s end"' in body


@pytest.mark.parametrize(
    ("path", "last"),
    [
        (CHAT, "[DONE]"),
        (CHAT, '{"error":{}}'),
        ("/completion", '{"content":"","stop":true}'),
        ("/other", "{}"),
    ],
)
async def test_a_stream_that_ends_as_it_should_gets_nothing_added(
    start_gateway: StartGateway, path: str, last: str
) -> None:
    async def leader(call: Call) -> None:
        await call.request()
        await call.send(sse(last) + END)

    gateway = await start_gateway(leader)
    assert (await gateway.fetch("POST", path, b"{}"))[2] == f"data: {last}\n\n".encode()


async def test_a_whole_answer_that_breaks_off_is_seen_to_break_off(start_gateway: StartGateway) -> None:
    async def leader(call: Call) -> None:
        await call.request()
        await call.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this")

    gateway = await start_gateway(leader)
    client = await gateway.connect()
    await client.ask("POST", CHAT, b"{}")
    with trio.fail_after(LIMIT), pytest.raises(h11.RemoteProtocolError):
        await client.answer()


async def test_tokens_are_counted_as_llama_server_counts_them(start_gateway: StartGateway) -> None:
    async def leader(call: Call) -> None:
        head, _ = await call.request()
        if head.target == b"/completion":
            answer = b'{"content":"...","timings":{"predicted_n":30}}'
            await call.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(answer), answer))
        else:
            await call.send(sse("1", "2", '{"usage":{"completion_tokens":12}}', "[DONE]") + END)

    gateway = await start_gateway(leader)
    await gateway.fetch("POST", CHAT, b"{}")
    await gateway.fetch("POST", "/completion", b"{}")
    assert await metric(gateway, "mesh_gateway_tokens_total") == 42
    assert await metric(gateway, "mesh_gateway_request_bytes_total") == 4


async def test_more_requests_than_can_be_in_flight_are_asked_to_come_again(
    start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy, "MAX_IN_FLIGHT", 1)
    begun = trio.Event()

    async def leader(call: Call) -> None:
        await call.request()
        begun.set()
        await call.hung_up()

    gateway = await start_gateway(leader)
    await (await gateway.connect()).ask("POST", CHAT, b"{}")
    with trio.fail_after(LIMIT):
        await begun.wait()
    status, headers, body = await gateway.fetch("POST", CHAT, b"{}")
    assert (status, headers["retry-after"]) == (503, "1")
    assert json.loads(body)["error"]["code"] == "overloaded"
    assert (await gateway.fetch("GET", "/healthz"))[0] == 200


async def test_a_node_that_may_not_ask_says_so_at_once(start_gateway: StartGateway) -> None:
    async def leader(call: Call) -> None:
        raise AssertionError("nothing is opened")

    gateway = await start_gateway(leader)
    gateway.node.error = AskingRefused(Refused(403, "may_not_ask", "this machine may not ask"))
    with trio.fail_after(LIMIT):
        for path in (CHAT, "/v1/messages", "/props"):
            status, headers, body = await gateway.fetch("POST", path, b"{}")
            assert status == 403
            assert "retry-after" not in headers
            name, word = ("type", "permission_error") if "messages" in path else ("code", "may_not_ask")
            assert json.loads(body)["error"][name] == word, "as the path's clients understand it"
    for path in ("/", "/status", "/metrics", "/readyz"):
        assert (await gateway.fetch("GET", path))[0] == 200
