"""A machine with a device of Vulkan's and its processor, without a GPU: the driver is software."""

from pathlib import Path

import pytest

from mesh.engine.types import Engine
from tests.e2e.pools import complete, found, is_ready, join, leader, make_model, status_when
from tests.e2e.same_split import bare_answer
from tests.e2e.test_two_devices import PROMPT, SERVE, devices_are_known, placed, rpc_servers
from tests.gpu import vulkan
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = pytest.mark.timeout(900)

TOKENS = 8
PATIENCE = 200.0
"""Seconds for what the driver compiles at its first use, which takes half a minute of a processor."""
MODEL_BYTES = 20_000_000
LENT = ("--memory", "vulkan0=400M,cpu=400M")


@pytest.fixture
def software(monkeypatch: pytest.MonkeyPatch) -> Engine:
    """The engine for Vulkan, and what it takes to see the software driver."""
    built = vulkan.built()
    if built is None:
        pytest.skip("the engine for Vulkan is not built: python -m tests.gpu.vulkan")
    for name, value in vulkan.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return built


def install(host: Host, engine: Engine) -> None:
    """The host has this engine, as if its own."""
    host.environment |= {"MESH_LLAMA_DIR": str(engine.llama_server.parent), **vulkan.ENVIRONMENT}


async def test_a_gpu_and_the_processor_of_one_machine_answer_like_the_bare_engine(
    lab: Lab, software: Engine, tmp_path: Path
) -> None:
    (anna,) = lab.hosts(1)
    install(anna, software)
    found(anna, *LENT)
    model = make_model(tmp_path, size=MODEL_BYTES)
    await devices_are_known(anna, {"anna/CPU", "anna/Vulkan0"})
    split = ("--layers", "anna/CPU=20,anna/Vulkan0=4")
    anna.mesh("serve", model, *SERVE, *split, timeout=PATIENCE)
    status = await status_when(anna, is_ready)
    assert placed(status) == [("anna", "CPU", 20), ("anna", "Vulkan0", 4)]
    kinds = {device["name"]: device["kind"] for device in status["members"][0]["devices"]}
    assert kinds == {"Vulkan0": "vulkan", "CPU": "cpu"}
    answer = await complete(anna, PROMPT, TOKENS, PATIENCE)
    assert len(answer) == TOKENS
    assert answer == await bare_answer(software, model, tmp_path, status, PROMPT, TOKENS)


async def test_a_gpu_and_the_processor_of_a_worker_answer_like_the_bare_engine(
    lab: Lab, engine: Engine, software: Engine, tmp_path: Path
) -> None:
    """The leader's own engine is the processor's."""
    anna, bert = lab.hosts(2)
    install(bert, software)
    token = found(anna, "--no-work")
    join(bert, token, *LENT, "--no-lead")
    model = make_model(tmp_path, size=MODEL_BYTES)
    await devices_are_known(anna, {"bert/CPU", "bert/Vulkan0"})
    split = ("--layers", "bert/CPU=20,bert/Vulkan0=4")
    anna.mesh("serve", model, *SERVE, *split, timeout=PATIENCE)
    status = await status_when(bert, is_ready)
    assert leader(status) == "anna"
    assert sorted(placed(status)) == [("bert", "CPU", 20), ("bert", "Vulkan0", 4)]
    running = sorted(words[words.index("-d") + 1] for words in rpc_servers(bert))
    assert running == ["CPU", "Vulkan0"], "a process for each device"
    answers = [await complete(host, PROMPT, TOKENS, PATIENCE) for host in (anna, bert)]
    mixed = Engine(
        engine.llama_server,
        software.rpc_server,
        engine.commit,
        engine.rpc,
        engine.backend,
        engine.origin,
    )
    bare = await bare_answer(mixed, model, tmp_path, status, PROMPT, TOKENS)
    assert answers == [bare, bare]
