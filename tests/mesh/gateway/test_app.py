import json

import pytest
import trio

from mesh.gateway.backend import NotReady
from tests.mesh.gateway.conftest import StartGateway
from tests.mesh.gateway.doubles import STATUS, Call


async def models(call: Call) -> None:
    await call.request()
    await call.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")


async def test_a_gateway_says_that_it_lives_whatever_the_pool_does(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    gateway.node.state["leader"] = None
    status, _, body = await gateway.fetch("GET", "/healthz")
    assert (status, json.loads(body)) == (200, {"status": "ok"})


async def test_it_is_ready_when_the_deployment_is(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    assert (await gateway.fetch("GET", "/readyz"))[0] == 200


async def test_it_says_why_it_is_not_ready(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    gateway.node.state["deployment"] = None
    status, headers, body = await gateway.fetch("GET", "/readyz")
    assert status == 503
    assert int(headers["retry-after"]) >= 1
    assert json.loads(body)["error"] == {
        "message": "no model is being served (mesh serve MODEL)",
        "type": "server_error",
        "code": "not_ready",
        "param": None,
    }


async def test_its_status_is_that_of_the_node(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    _, headers, body = await gateway.fetch("GET", "/status")
    assert json.loads(body) == STATUS
    assert headers["cache-control"] == "no-store"


async def test_the_root_shows_the_dashboard(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    status, headers, body = await gateway.fetch("GET", "/")
    assert status == 200
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert body.startswith(b"<!doctype html>")


async def test_a_head_request_gets_the_head_alone(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    status, headers, body = await gateway.fetch("HEAD", "/")
    assert status == 200
    assert int(headers["content-length"]) > 1000
    assert body == b""


@pytest.mark.parametrize("path", ["/", "/healthz", "/metrics", "/events", "/status"])
async def test_own_paths_can_only_be_read(start_gateway: StartGateway, path: str) -> None:
    gateway = await start_gateway()
    status, headers, _ = await gateway.fetch("POST", path, b"{}")
    assert (status, headers["allow"]) == (405, "GET, HEAD")


async def test_traces_are_not_passed_on(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    assert (await gateway.fetch("TRACE", "/props"))[0] == 405


async def test_a_name_that_was_rebound_to_loopback_is_refused(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    status, _, body = await gateway.fetch("GET", "/props", host="evil.example")
    assert status == 403
    assert json.loads(body)["error"]["code"] == "forbidden_host"


async def test_a_page_of_another_site_is_refused(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    status, _, body = await gateway.fetch("POST", "/v1/completions", b"{}", origin="https://evil.example")
    assert status == 403
    assert json.loads(body)["error"]["code"] == "forbidden_origin"


async def test_our_own_page_is_served(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(models)
    host = f"127.0.0.1:{gateway.port}"
    assert (await gateway.fetch("GET", "/props", host=host, origin=f"http://{host}"))[0] == 200


async def test_with_a_key_nothing_is_told_without_it(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(models, api_key="sesame")
    for path in ("/props", "/status", "/events", "/metrics"):
        status, headers, body = await gateway.fetch("GET", path)
        assert (status, headers["www-authenticate"]) == (401, "Bearer")
        assert json.loads(body)["error"]["code"] == "invalid_api_key"
    assert (await gateway.fetch("GET", "/props", authorization="Bearer open"))[0] == 401
    assert (await gateway.fetch("GET", "/props", authorization="Bearer sesame"))[0] == 200


@pytest.mark.parametrize(("path", "status"), [("/", b"200"), ("/healthz", b"200"), ("/status", b"401")])
async def test_whoever_has_no_key_gets_one_answer_and_no_more(
    start_gateway: StartGateway, path: str, status: bytes
) -> None:
    gateway = await start_gateway(api_key="sesame")
    client = await gateway.connect()
    asked = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n".encode()
    received = b""
    with trio.fail_after(5):
        await client.stream.send_all((asked + b"\r\n") * 50)
        async for data in client.stream:
            received += data
    assert received.startswith(b"HTTP/1.1 " + status)
    assert received.count(b"HTTP/1.1 ") == 1
    client = await gateway.connect()
    with trio.fail_after(5):
        for _ in range(3):
            await client.ask("GET", path, b"", x_api_key="sesame")
            assert (await client.answer())[0] == 200


async def test_with_a_key_liveness_is_told_without_it(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(api_key="sesame")
    for path in ("/", "/healthz", "/readyz"):
        assert (await gateway.fetch("GET", path))[0] == 200


async def test_metrics_count_answers_by_path_and_status(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(models)
    await gateway.fetch("GET", "/props")
    await gateway.fetch("GET", "/no/such/path")
    gateway.node.error = NotReady("no leader")
    await gateway.fetch("GET", "/props", x_mesh_patience="0")
    _, headers, body = await gateway.fetch("GET", "/metrics")
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = body.decode().splitlines()
    assert 'mesh_gateway_requests_total{endpoint="/props",status="200"} 1.0' in lines
    assert 'mesh_gateway_requests_total{endpoint="/props",status="503"} 1.0' in lines
    assert 'mesh_gateway_requests_total{endpoint="other",status="200"} 1.0' in lines
    assert "mesh_gateway_response_bytes_total 4.0" in lines
    assert "mesh_gateway_requests_in_flight 0.0" in lines
