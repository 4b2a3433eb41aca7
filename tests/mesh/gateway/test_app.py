import json

import pytest

from mesh.gateway.backend import NotReady
from tests.mesh.gateway.conftest import OpenDoor
from tests.mesh.gateway.doubles import STATUS, Call


async def models(call: Call) -> None:
    await call.request()
    await call.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")


async def test_a_gateway_says_that_it_lives_whatever_the_pool_does(open_door: OpenDoor) -> None:
    door = await open_door()
    door.node.state["leader"] = None
    status, _, body = await door.fetch("GET", "/healthz")
    assert (status, json.loads(body)) == (200, {"status": "ok"})


async def test_it_is_ready_when_the_deployment_is(open_door: OpenDoor) -> None:
    door = await open_door()
    assert (await door.fetch("GET", "/readyz"))[0] == 200


async def test_it_says_why_it_is_not_ready(open_door: OpenDoor) -> None:
    door = await open_door()
    door.node.state["deployment"] = None
    status, headers, body = await door.fetch("GET", "/readyz")
    assert status == 503
    assert int(headers["retry-after"]) >= 1
    assert json.loads(body)["error"] == {
        "message": "no model is being served (mesh serve MODEL.gguf)",
        "type": "server_error",
        "code": "not_ready",
    }


async def test_its_status_is_that_of_the_node(open_door: OpenDoor) -> None:
    door = await open_door()
    _, headers, body = await door.fetch("GET", "/status")
    assert json.loads(body) == STATUS
    assert headers["cache-control"] == "no-store"


async def test_the_root_shows_the_dashboard(open_door: OpenDoor) -> None:
    door = await open_door()
    status, headers, body = await door.fetch("GET", "/")
    assert status == 200
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert body.startswith(b"<!doctype html>")


async def test_a_head_request_gets_the_head_alone(open_door: OpenDoor) -> None:
    door = await open_door()
    status, headers, body = await door.fetch("HEAD", "/")
    assert status == 200
    assert int(headers["content-length"]) > 1000
    assert body == b""


@pytest.mark.parametrize("path", ["/", "/healthz", "/metrics", "/events", "/status"])
async def test_own_paths_can_only_be_read(open_door: OpenDoor, path: str) -> None:
    door = await open_door()
    status, headers, _ = await door.fetch("POST", path, b"{}")
    assert (status, headers["allow"]) == (405, "GET, HEAD")


async def test_traces_are_not_passed_on(open_door: OpenDoor) -> None:
    door = await open_door()
    assert (await door.fetch("TRACE", "/v1/models"))[0] == 405


async def test_a_name_that_was_rebound_to_loopback_is_refused(open_door: OpenDoor) -> None:
    door = await open_door()
    status, _, body = await door.fetch("GET", "/v1/models", host="evil.example")
    assert status == 403
    assert json.loads(body)["error"]["code"] == "forbidden_host"


async def test_a_page_of_another_site_is_refused(open_door: OpenDoor) -> None:
    door = await open_door()
    status, _, body = await door.fetch("POST", "/v1/completions", b"{}", origin="https://evil.example")
    assert status == 403
    assert json.loads(body)["error"]["code"] == "forbidden_origin"


async def test_our_own_page_is_served(open_door: OpenDoor) -> None:
    door = await open_door(models)
    host = f"127.0.0.1:{door.port}"
    assert (await door.fetch("GET", "/v1/models", host=host, origin=f"http://{host}"))[0] == 200


async def test_with_a_key_nothing_is_told_without_it(open_door: OpenDoor) -> None:
    door = await open_door(models, api_key="sesame")
    for path in ("/v1/models", "/status", "/events", "/metrics"):
        status, headers, body = await door.fetch("GET", path)
        assert (status, headers["www-authenticate"]) == (401, "Bearer")
        assert json.loads(body)["error"]["code"] == "invalid_api_key"
    assert (await door.fetch("GET", "/v1/models", authorization="Bearer open"))[0] == 401
    assert (await door.fetch("GET", "/v1/models", authorization="Bearer sesame"))[0] == 200


async def test_with_a_key_liveness_is_told_without_it(open_door: OpenDoor) -> None:
    door = await open_door(api_key="sesame")
    for path in ("/", "/healthz", "/readyz"):
        assert (await door.fetch("GET", path))[0] == 200


async def test_metrics_count_answers_by_path_and_status(open_door: OpenDoor) -> None:
    door = await open_door(models)
    await door.fetch("GET", "/v1/models")
    await door.fetch("GET", "/no/such/path")
    door.node.error = NotReady("no leader")
    await door.fetch("GET", "/v1/models", x_mesh_patience="0")
    _, headers, body = await door.fetch("GET", "/metrics")
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = body.decode().splitlines()
    assert 'mesh_gateway_requests_total{endpoint="/v1/models",status="200"} 1.0' in lines
    assert 'mesh_gateway_requests_total{endpoint="/v1/models",status="503"} 1.0' in lines
    assert 'mesh_gateway_requests_total{endpoint="other",status="200"} 1.0' in lines
    assert "mesh_gateway_response_bytes_total 4.0" in lines
    assert "mesh_gateway_requests_in_flight 0.0" in lines
