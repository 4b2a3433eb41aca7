"""A bare llama-server with the split that `mesh status` tells: rpc-servers and arguments wired by hand.

It reads the plan alone, so that the pool's own arguments are compared with what they should be.
"""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from mesh.engine.types import Engine
from tests.e2e.pools import greedy
from tests.leader.llama.bare_server import bare_server, post, rpc_server

COMMON = ("-c", "512", "--no-warmup")
HOST = "CPU"
"""The engine's name for the processor. Where it leads, its layers are on no device, and the first."""


def engine_device(name: str) -> str:
    """What the engine calls a device of a record: ``cpu:0`` is a part of the processor."""
    return HOST if name.lower().startswith("cpu") or not name else name


def is_hosts_own(stage: Mapping[str, Any], leader: str) -> bool:
    """Whether llama-server's own processor holds the stage, without an rpc-server."""
    return stage["member"] == leader and engine_device(stage.get("device", "")) == HOST


def split_arguments(status: Mapping[str, Any], endpoints: list[str]) -> list[str]:
    """llama-server's arguments for the plan; ``endpoints`` are those of the stages of other members."""
    leader, stages = status["leader"]["id"], status["plan"]["stages"]
    held = [stage for stage in stages if not is_hosts_own(stage, leader)]
    assert stages[len(stages) - len(held) :] == held, "the leader's processor holds the first layers"
    slots = [stage["layers"][1] - stage["layers"][0] + 1 for stage in held]
    if not slots:
        return ["-ngl", "0"]
    slots[-1] += 1  # the head counts as one more layer
    numbers = iter(range(len(endpoints)))
    names = [stage["device"] if stage["member"] == leader else f"RPC{next(numbers)}" for stage in held]
    arguments = ["--rpc", ",".join(endpoints)] if endpoints else []
    arguments += ["--device", ",".join(names), "-ngl", str(sum(slots)), "-ts", ",".join(map(str, slots))]
    if not any(stage["head"] for stage in held):
        arguments += ["-ot", r"^(output|token_embd)\.weight$=CPU"]  # a tied head is a second embedding
    return arguments


async def bare_answer(
    engine: Engine, model: Path, folder: Path, status: Mapping[str, Any], prompt: str, tokens: int
) -> list[int]:
    """The ids of a greedy answer with the plan's split, at a context of 512, within five minutes."""
    leader = status["leader"]["id"]
    async with AsyncExitStack() as stack:
        endpoints = []
        for stage in status["plan"]["stages"]:
            if stage["member"] != leader:
                devices = (engine_device(stage.get("device", "")),)
                port, _ = await stack.enter_async_context(rpc_server(engine.rpc_server, folder, devices))
                endpoints.append(f"127.0.0.1:{port}")
        server = bare_server(engine.llama_server, model, folder, *split_arguments(status, endpoints), *COMMON)
        url = await stack.enter_async_context(server)
        ids: list[int] = (await post(f"{url}/completion", greedy(prompt, tokens), 300))["tokens"]
        return ids
