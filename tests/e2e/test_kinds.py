"""Models of other kinds than chats: pictures, vectors and ranks, asked for through any node's gateway."""

from pathlib import Path
from typing import Any

import pytest

from mesh.engine.types import Engine
from mesh.tools.generator import ModelSpec, spec_of_size
from tests.e2e.pools import (
    LAYERS,
    client,
    form_pool,
    holders,
    is_ready,
    leader,
    make_model,
    status_when,
)
from tests.e2e.test_copies import models_until
from tests.lab.host import Host
from tests.lab.lab import Lab
from tests.leader.llama.bare_server import bare_server, post
from tests.tiny_kinds import encoder, picture, projector

pytestmark = pytest.mark.usefixtures("engine")

BYTES = 44_000_000
"""More than one host holds, and less than two that remain."""

RED, BLUE = picture(255, 0, 0), picture(0, 0, 255)
TEXTS = ["da be bi", "hello, pool", "z"]


async def ask(host: Host, path: str, body: dict[str, Any], status: int = 200) -> Any:
    """The answer of the host's own gateway."""
    async with client(host) as http:
        response = await http.post(path, json=body)
        assert response.status_code == status, response.text
        return response.json()


async def describe(host: Host, url: str) -> str:
    """A greedy answer about a picture."""
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}]
    body = {"messages": [{"role": "user", "content": parts}], "max_tokens": 16, "temperature": 0}
    answer = await ask(host, "/v1/chat/completions", body)
    text: str = answer["choices"][0]["message"]["content"]
    return text


async def test_a_picture_is_read_through_any_gateway_and_by_the_next_leader(lab: Lab, tmp_path: Path) -> None:
    hosts = lab.hosts(3)
    form_pool(hosts)
    width = spec_of_size(BYTES, ModelSpec(layers=LAYERS)).n_embd
    beside = projector(tmp_path / "mmproj.gguf", width)
    options = ("--mmproj", beside, "--kv", "q8_0", "--ctx", "512", "--wait")
    hosts[0].mesh("serve", make_model(tmp_path, size=BYTES), *options, timeout=120)
    status = await status_when(hosts[2], is_ready)
    assert (status["deployment"]["projector"], status["deployment"]["kv"]) == ("mmproj.gguf", "q8_0")
    assert len(holders(status)) > 1
    assert leader(status) == hosts[0].name
    seen = [await describe(host, RED) for host in hosts]
    assert seen == seen[:1] * 3
    assert await describe(hosts[2], BLUE) != seen[0], "the answer is of the picture"

    # The first in the list is the model, which comes last.
    await models_until(hosts[2], lambda entry: len(entry["members"]) == 2)
    names = {member["id"]: member["name"] for member in status["members"]}
    (model, held) = sorted((await hosts[2].amesh_json("models"))["models"], key=lambda one: -one["size"])
    assert (model["projector"], held["name"], held["serving"]) == ("mmproj.gguf", "mmproj.gguf", True)
    (second,) = {names[member] for member in model["members"]} - {hosts[0].name}
    hosts[0].kill_sidecar()
    other = next(host for host in hosts[1:] if host.name != second)
    status = await status_when(other, lambda status: leader(status) == second and is_ready(status))
    assert await describe(other, RED) == seen[0]


async def test_vectors_are_those_of_a_bare_engine_through_every_gateway(
    lab: Lab, tmp_path: Path, engine: Engine
) -> None:
    hosts = lab.hosts(2)
    form_pool(hosts)
    model = encoder(tmp_path / "bert.gguf")
    refused = hosts[0].mesh("serve", model, check=False)
    assert "gives embeddings, no answers" in refused.stderr
    assert "add --embeddings" in refused.stderr
    split = f"{hosts[0].name}=2,{hosts[1].name}=2"
    hosts[0].mesh("serve", model, "--embeddings", "--layers", split, "--wait", timeout=120)
    assert len(holders(await status_when(hosts[1], is_ready))) == 2
    given = [await ask(host, "/v1/embeddings", {"input": TEXTS}) for host in hosts]
    options = ("--embeddings", "--pooling", "mean")
    async with bare_server(engine.llama_server, model, tmp_path, *options) as url:
        bare = await post(f"{url}/v1/embeddings", {"input": TEXTS})
    for answer in given:
        assert [one["embedding"] for one in answer["data"]] == [
            pytest.approx(one["embedding"], abs=1e-5) for one in bare["data"]
        ]
    said = await ask(hosts[1], "/v1/chat/completions", {"messages": [{"role": "user", "content": "?"}]}, 501)
    assert "bert.gguf is served for embeddings, not for answers" in said["error"]["message"]


async def test_ranks_are_those_of_a_bare_engine_through_every_gateway(
    lab: Lab, tmp_path: Path, engine: Engine
) -> None:
    hosts = lab.hosts(2)
    form_pool(hosts)
    model = encoder(tmp_path / "judge.gguf", ranks=True)
    hosts[0].mesh("serve", model, "--embeddings", "--wait", timeout=120)
    await status_when(hosts[1], is_ready)
    asked = {"query": "da", "documents": TEXTS}
    async with bare_server(engine.llama_server, model, tmp_path, "--reranking") as url:
        bare = await post(f"{url}/v1/rerank", asked)
    scores = {one["index"]: pytest.approx(one["relevance_score"], abs=1e-5) for one in bare["results"]}
    for host in hosts:
        answer = await ask(host, "/v1/rerank", asked)
        assert {one["index"]: one["relevance_score"] for one in answer["results"]} == scores
        said = await ask(host, "/v1/embeddings", {"input": "da"}, 501)
        assert "not for embeddings: ask POST /v1/rerank" in said["error"]["message"]
