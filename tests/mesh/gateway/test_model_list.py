"""OpenAI's client learns what is served, also while nobody leads and while it loads."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
import trio
from openai import NotFoundError, OpenAI, PermissionDeniedError

from leader.door.orders import Refused
from mesh.gateway.backend import AskingRefused
from mesh.gateway.model_list import lists_models, model_list
from tests.mesh.gateway.conftest import RunningGateway, StartGateway
from tests.mesh.gateway.doubles import STATUS

LIMIT = 20


T = TypeVar("T")


async def by_client(gateway: RunningGateway, ask: Callable[[OpenAI], T]) -> T:
    def run() -> T:
        with OpenAI(base_url=f"http://127.0.0.1:{gateway.port}/v1", api_key="-", max_retries=0) as client:
            return ask(client)

    with trio.fail_after(LIMIT):
        return await trio.to_thread.run_sync(run)


def ids(client: OpenAI) -> list[str]:
    return [model.id for model in client.models.list()]


async def test_the_model_is_listed_under_the_name_that_answers_carry(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    assert await by_client(gateway, ids) == ["m"]


async def test_nothing_served_is_an_empty_list(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    gateway.node.state["deployment"] = None
    assert await by_client(gateway, ids) == []
    status, _, body = await gateway.fetch("GET", "/v1/models")
    assert (status, json.loads(body)) == (200, {"object": "list", "data": []})


async def test_without_a_leader_and_while_it_loads_it_is_told_at_once(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    gateway.node.state["leader"] = None
    loading = {"state": "loading", "progress": 0.5, "reason": "612 MiB of 1.2 GiB"}
    gateway.node.state["deployment"] = {**STATUS["deployment"], **loading}
    model = (await by_client(gateway, lambda client: client.models.retrieve("m"))).to_dict()
    assert model["status"] == loading
    assert model["meta"] == {"n_ctx": 4096, "slots": 1}


async def test_a_model_is_found_by_its_id_however_it_is_encoded(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    name = "big model/Q4.gguf"
    gateway.node.state["deployment"] = {**STATUS["deployment"], "model": name}
    assert (await by_client(gateway, lambda client: client.models.retrieve(name))).id == name
    assert (await gateway.fetch("GET", "/v1/models/big%20model/Q4.gguf"))[0] == 200


async def test_another_model_is_not_found_and_the_one_that_is_served_named(
    start_gateway: StartGateway,
) -> None:
    gateway = await start_gateway()
    with pytest.raises(NotFoundError, match="no model 'gpt' is served; served: m") as caught:
        await by_client(gateway, lambda client: client.models.retrieve("gpt"))
    assert caught.value.code == "model_not_found"
    gateway.node.state["deployment"] = None
    with pytest.raises(NotFoundError, match=r"none is \(mesh serve MODEL\)"):
        await by_client(gateway, lambda client: client.models.retrieve("gpt"))


async def test_a_member_that_may_not_ask_learns_that_here_as_well(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    gateway.node.error = AskingRefused(Refused(403, "may_not_ask", "this machine may not ask"))
    with pytest.raises(PermissionDeniedError, match="may not ask"):
        await by_client(gateway, ids)


async def test_the_list_wants_the_key_and_can_only_be_read(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(api_key="sesame")
    for path in ("/v1/models", "/models", "/v1/models/m"):
        assert (await gateway.fetch("GET", path))[0] == 401
        assert (await gateway.fetch("GET", path, authorization="Bearer sesame"))[0] == 200
        status, headers, _ = await gateway.fetch("POST", path, b"{}", authorization="Bearer sesame")
        assert (status, headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/v1/model", "/models/load", "/v1/chat/completions"])
def test_other_paths_are_none_of_its_business(path: str) -> None:
    assert not lists_models(path)


@pytest.mark.parametrize("status", [{}, {"deployment": None}])
def test_a_status_without_a_deployment_lists_nothing(status: dict[str, Any]) -> None:
    assert json.loads(model_list(status, "/models", 0).content)["data"] == []
