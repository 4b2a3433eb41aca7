"""What the end-to-end tests do as a person would: join, serve, ask, and wait for what status says."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import trio

from mesh.tools.generator import ModelSpec, generate, spec_of_size
from tests.lab.host import Host

MODEL_BYTES = 66_000_000
LAYERS = 24
MEMORY = "62M"
PATIENCE = 60.0
QUESTION = [{"role": "user", "content": "What holds this model together?"}]

JOIN = ("--memory", MEMORY, "--tailscaled-socket", "off")


def make_model(folder: Path, name: str = "frankenstein.gguf", size: int = MODEL_BYTES) -> Path:
    """A model that fits on none of the hosts alone."""
    path = folder / name
    generate(path, spec_of_size(size, ModelSpec(layers=LAYERS)))
    return path


def found(host: Host, *options: str) -> str:
    """`mesh join` on the first host; the `mesh join TOKEN` that it prints for the others."""
    printed = host.mesh("join", "--found", "--name", host.name, *JOIN, *options).stdout
    token = re.search(r"mesh join (mesh1:\S+)", printed)
    assert token, printed
    return token[1]


def join(host: Host, token: str, *options: str) -> None:
    """`mesh join TOKEN` on another host."""
    host.mesh("join", token, "--name", host.name, *JOIN, *options)


def form_pool(hosts: Sequence[Host]) -> None:
    """All hosts in one pool, each with all rights."""
    token = found(hosts[0])
    for host in hosts[1:]:
        join(host, token)


def alive(status: dict[str, Any]) -> set[str]:
    """Names of the members that are alive."""
    return {member["name"] for member in status.get("members", []) if member["state"] == "alive"}


def leader(status: dict[str, Any]) -> str | None:
    return None if status.get("leader") is None else str(status["leader"]["name"])


def is_ready(status: dict[str, Any]) -> bool:
    return status.get("deployment") is not None and status["deployment"]["state"] == "ready"


def holders(status: dict[str, Any]) -> dict[str, list[int]]:
    """Which layers are where, by name."""
    return {member["name"]: member["layers"] for member in status["members"] if member["layers"]}


async def status_when(
    host: Host, holds: Callable[[dict[str, Any]], bool], seconds: float = PATIENCE
) -> dict[str, Any]:
    """The first status of the host for which ``holds``."""
    status: dict[str, Any] = {}
    with trio.move_on_after(seconds):
        while True:
            status = await host.amesh_json("status", check=False)
            if holds(status):
                return status
            await trio.sleep(0.1)
    raise AssertionError(f"{host.name} waited {seconds:.0f} s in vain: {json.dumps(status)}")


def client(host: Host, seconds: float = 60) -> httpx.AsyncClient:
    """An HTTP client on the host, for its own gateway."""
    return host.http(host.status()["api"].removesuffix("/v1"), seconds)


async def chat(host: Host, tokens: int = 32) -> str:
    """One greedy answer, not streamed."""
    async with client(host) as http:
        response = await http.post("/v1/chat/completions", json=_request(tokens))
        assert response.status_code == 200, response.text
        content: str = response.json()["choices"][0]["message"]["content"]
        return content


async def stream_chat(host: Host, tokens: int = 32) -> list[str]:
    """The same answer, streamed: its pieces as they came."""
    async with (
        client(host) as http,
        http.stream("POST", "/v1/chat/completions", json=_request(tokens) | {"stream": True}) as response,
    ):
        assert response.status_code == 200, await response.aread()
        lines = [line async for line in response.aiter_lines() if line.startswith("data: {")]
    pieces = [json.loads(line[6:])["choices"][0]["delta"].get("content") or "" for line in lines]
    return [piece for piece in pieces if piece]


async def complete(host: Host, prompt: str, tokens: int, seconds: float = 60) -> list[int]:
    """The token ids of a greedy continuation, by llama-server's own path."""
    async with client(host, seconds) as http:
        response = await http.post("/completion", json=greedy(prompt, tokens))
        assert response.status_code == 200, response.text
        ids: list[int] = response.json()["tokens"]
        return ids


def greedy(prompt: str, tokens: int) -> dict[str, Any]:
    """A request whose answer depends on the model and the split alone."""
    return {
        "prompt": prompt,
        "n_predict": tokens,
        "temperature": 0,
        "return_tokens": True,
        "cache_prompt": False,
    }


def _request(tokens: int) -> dict[str, Any]:
    return {"messages": QUESTION, "max_tokens": tokens, "temperature": 0, "cache_prompt": False}
