"""llama-server over machines of several devices, by an rpc-server for each device or one for all of them."""

from dataclasses import replace
from pathlib import Path

import pytest

from leader.model.engine_settings import EngineSettings
from leader.model.gguf import read
from leader.model.model_info import ModelInfo
from leader.placement.planner import Plan, place
from mesh.engine.types import Engine
from mesh.tools.generator import ModelSpec, generate, spec_of_size
from tests.leader.llama.bare_server import greedy
from tests.leader.llama.test_llama_server import PROMPT, hand_wired, pool
from tests.leader.shapes import host, worker

ANNA = worker(1).member


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelInfo:
    spec = spec_of_size(24_000_000, ModelSpec(layers=6, vocabulary=1024))
    return read(generate(tmp_path_factory.mktemp("model") / "model.gguf", spec)[0])


def split_plan(model: ModelInfo, joined: frozenset[bytes]) -> Plan:
    """One layer here, the others on two devices of anna's and, in between, on bert's only one."""
    alone = place(model, [host(1 << 30)], EngineSettings(512, 1))
    devices = [
        alone.stages[0].device,
        replace(worker(1), device="CUDA0"),
        worker(2),
        replace(worker(1), device="CPU"),
    ]
    stages, first = [], 0
    for device, layers in zip(devices, (1, 2, 1, 2), strict=True):
        head = device is devices[-1]
        stages.append(replace(alone.stages[0], device=device, first=first, layers=layers, head=head))
        first += layers
    return replace(alone, stages=tuple(stages), joined=joined)


@pytest.mark.parametrize("joined", [frozenset[bytes](), frozenset({ANNA})], ids=["apart", "joined"])
async def test_devices_answer_as_the_same_split_wired_by_hand_however_they_are_grouped(
    engine: Engine, model: ModelInfo, tmp_path: Path, joined: frozenset[bytes]
) -> None:
    plan = split_plan(model, joined)
    async with pool(engine, plan, tmp_path) as running:
        assert len(running.pids) == (2 if joined else 3)
        await running.until("ready")
        tokens = await greedy(running.url, PROMPT, 60)
        told = [state.progress for state in running.states if state.phase == "loading"]
        assert told == sorted(told)
    wiring = ["--device", "RPC0,RPC1,RPC2", "-ngl", "6", "-ts", "2,1,3"]
    assert tokens == await hand_wired(engine, model, tmp_path, wiring, 3)
    assert len(set(tokens)) > 20
    assert running.resets == []
