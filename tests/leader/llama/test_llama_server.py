"""llama-server under a plan, with real rpc-servers behind real tunnels."""

import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import trio

from leader.door.slots.slot_content import SlotContent
from leader.llama import llama_server
from leader.llama.llama_server import LlamaServer, ServerPhase, ServerState
from leader.llama.server_arguments import arguments
from leader.llama.slots import Slots, are_kept
from leader.llama.tunnels import OpenTunnel, Tunnels, open_tunnels
from leader.model.engine_settings import EngineSettings
from leader.model.gguf import read
from leader.model.model_info import ModelInfo
from leader.placement.cost import Device, assumed_layer_seconds, compute_bytes
from leader.placement.planner import Plan, place
from leader.placement.rpc_groups import RpcGroup
from mesh.engine.process import memory_bound
from mesh.engine.sandbox import landlock
from mesh.engine.types import Engine
from mesh.net.stream_ends import Plain
from mesh.tools.generator import ModelSpec, generate, spec_of_size
from tests.lab import disks
from tests.leader.llama.bare_server import bare_server, greedy, post, rpc_server
from tests.leader.llama.url_of import url_of
from tests.leader.shapes import MIB, host, worker
from tests.waiting import until

MODEL = b"m" * 32
PROMPT = "Tell me a story about two machines"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelInfo:
    spec = spec_of_size(24_000_000, ModelSpec(layers=6, vocabulary=1024))
    return read(generate(tmp_path_factory.mktemp("model") / "model.gguf", spec)[0])


def split_plan(model: ModelInfo, on_leader: int = 2, context: int = 512) -> Plan:
    """Six layers: ``on_leader`` here, two and the rest on two workers."""
    devices = [host(1 << 30), worker(1, 1 << 30), worker(2, 1 << 30)]
    fixed = {devices[0].key: on_leader, devices[1].key: 2, devices[2].key: 4 - on_leader}
    return place(model, devices, EngineSettings(context, 1), fixed)


class Nothing:
    """A session that has nothing left to close."""

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


@asynccontextmanager
async def tunnelled(ports: dict[RpcGroup, int], resets: list[tuple[RpcGroup, str]]) -> AsyncIterator[Tunnels]:
    async def opener(server: RpcGroup) -> OpenTunnel:
        return OpenTunnel(Nothing(), Plain.take(await trio.open_tcp_stream("127.0.0.1", ports[server])))

    async with open_tunnels(opener, lambda worker, reason, _: resets.append((worker, reason))) as tunnels:
        yield tunnels


@dataclass
class Pool:
    """A running llama-server, its workers' process ids, and what was told."""

    server: LlamaServer
    pids: list[int]
    resets: list[tuple[RpcGroup, str]]
    states: list[ServerState]
    url: str

    async def until(self, phase: str, seconds: float = 30) -> ServerState:
        with trio.fail_after(seconds):
            while self.server.state.phase != phase:
                assert phase == "failed" or self.server.state.phase != "failed", self.server.state
                await trio.sleep(0.02)
        return self.server.state


@asynccontextmanager
async def pool(engine: Engine, plan: Plan, directory: Path, **options: Any) -> AsyncIterator[Pool]:
    """The plan's workers, tunnels to them and llama-server, all ended afterwards."""
    async with AsyncExitStack() as stack:
        ports, pids = {}, []
        for group in plan.servers:
            devices = ["CPU"] * len(group.devices)
            port, process = await stack.enter_async_context(rpc_server(engine.rpc_server, directory, devices))
            ports[group] = port
            pids.append(process.pid)
        resets: list[tuple[RpcGroup, str]] = []
        states: list[ServerState] = []
        tunnels = await stack.enter_async_context(tunnelled(ports, resets))
        server = LlamaServer(
            engine.llama_server,
            plan,
            tunnels.listen,
            directory / "llama-server.log",
            traffic=lambda: tunnels.sent,
            sent=tunnels.sent_to,
            on_state=states.append,
            **options,
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.run)
            async with url_of(server.connect) as url:
                yield Pool(server, pids, resets, states, url)
            await server.stop()


async def hand_wired(
    engine: Engine, model_info: ModelInfo, directory: Path, placement: Sequence[str], workers: int
) -> list[int]:
    """The same split without any of our code in the data path: 60 greedy tokens."""
    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(rpc_server(engine.rpc_server, directory)) for _ in range(workers)
        ]
        endpoints = ",".join(f"127.0.0.1:{port}" for port, _ in servers)
        wiring = ["--rpc", endpoints, *placement] if workers else [*placement]
        url = await stack.enter_async_context(
            bare_server(engine.llama_server, model_info.files[0], directory, "-c", "512", *wiring)
        )
        return await greedy(url, PROMPT, 60)


async def test_a_pool_answers_as_the_same_split_wired_by_hand(
    engine: Engine, model: ModelInfo, tmp_path: Path
) -> None:
    devices = [
        Device(
            device.member, device.name, offered * MIB, assumed_layer_seconds(model, "cpu"), local=device.local
        )
        for device, offered in ((host(), 46), (worker(1), 31), (worker(2), 31))
    ]
    plan = place(model, devices, EngineSettings(512, 1))
    assert len(plan.workers) == 2  # such small machines need each other
    async with pool(engine, plan, tmp_path) as running:
        await running.until("ready")
        tokens = await greedy(running.url, PROMPT, 60)
    told = [state for state in running.states if state.phase is ServerPhase.LOADING and state.reason]
    assert "of 2" in told[0].reason, "a load is told in bytes from its beginning"
    assert [state.progress for state in told] == sorted(state.progress for state in told)
    counts = [stage.layers for stage in plan.stages if not stage.device.local]
    wiring = ["--device", "RPC0,RPC1", "-ngl", str(sum(counts) + 1), "-ts", f"{counts[0]},{counts[1] + 1}"]
    assert tokens == await hand_wired(engine, model, tmp_path, wiring, 2)
    assert len(set(tokens)) > 20
    progress = [state.progress for state in running.states if state.phase == "loading"]
    assert progress == sorted(progress)
    assert running.states[-1] == ServerState(ServerPhase.STOPPED)
    assert running.resets == []


async def test_a_model_that_fits_runs_without_any_worker(
    engine: Engine, model: ModelInfo, tmp_path: Path
) -> None:
    plan = place(model, [host(1 << 30), worker(1, 1 << 30)], EngineSettings(512, 1))
    assert plan.workers == ()
    async with pool(engine, plan, tmp_path) as running:
        await running.until("ready")
        assert await greedy(running.url, PROMPT, 60) == await hand_wired(engine, model, tmp_path, [], 0)


@pytest.mark.parametrize("on_leader", [0, 1, 3])
async def test_layers_land_where_the_plan_says(
    engine: Engine, model: ModelInfo, tmp_path: Path, on_leader: int
) -> None:
    plan = split_plan(model, on_leader)
    async with AsyncExitStack() as stack:
        endpoints = {}
        for group in plan.servers:
            port, _ = await stack.enter_async_context(rpc_server(engine.rpc_server, tmp_path))
            endpoints[group] = f"127.0.0.1:{port}"
        argv = arguments(plan, endpoints, "127.0.0.1", 1)
        placement = argv[argv.index("-c") :]  # what comes before names the model and the port
        await stack.enter_async_context(
            bare_server(engine.llama_server, model.files[0], tmp_path, "-v", *placement)
        )
        lines = _server_log(tmp_path)
    found = dict(re.findall(r"layer +(\d+) assigned to device (\w+),", lines))
    remote = [stage for stage in plan.stages if not stage.device.local]
    for stage in plan.stages:
        name = "CPU" if stage.device.host else f"RPC{remote.index(stage)}"
        assert [found[str(layer)] for layer in range(stage.first, stage.last + 1)] == [name] * stage.layers
    head_overridden = "output.weight" in "".join(
        re.findall("tensor (.*) buffer type overridden to CPU", lines)
    )
    assert head_overridden == plan.stages[0].head
    measured = [float(size) for size in re.findall(r"compute buffer size = +([\d.]+) MiB", lines)]
    assert 0 < max(measured) <= compute_bytes(model, plan.settings) / MIB


async def test_a_worker_takes_no_more_memory_than_was_planned(
    engine: Engine, model: ModelInfo, tmp_path: Path
) -> None:
    if engine.backend != "cpu":
        pytest.skip("an accelerator's memory is not the process's")
    plan = split_plan(model, on_leader=0, context=4096)
    async with pool(engine, plan, tmp_path) as running:
        await running.until("ready")
        await greedy(running.url, "many words " * 60, 5)
        taken = [psutil.Process(pid).memory_info().rss for pid in running.pids]
    planned = [stage.bytes for stage in plan.stages if not stage.device.local]
    for used, allowed in zip(taken, planned, strict=True):
        assert allowed / 2 < used <= allowed


async def test_a_worker_that_dies_ends_the_server_with_the_reason(
    engine: Engine, model: ModelInfo, tmp_path: Path
) -> None:
    async with pool(engine, split_plan(model), tmp_path) as running, trio.open_nursery() as nursery:
        await running.until("ready")
        nursery.start_soon(_ask_until_cut, running.url)
        os.kill(running.pids[0], signal.SIGKILL)
        state = await running.until("failed", 5)
        assert re.search(r"SIGABRT: ggml-rpc\.cpp:\d+: Remote RPC server crashed", state.reason)
        assert running.resets
        assert not running.server.died_of_requests


async def test_a_worker_that_hangs_is_noticed_in_some_seconds_and_the_server_killed(
    engine: Engine, model: ModelInfo, tmp_path: Path
) -> None:
    async with (
        pool(engine, split_plan(model, context=4096), tmp_path) as running,
        trio.open_nursery() as nursery,
    ):
        await running.until("ready")
        nursery.start_soon(_ask_until_cut, running.url)
        await _until_generating(running.url)
        os.kill(running.pids[1], signal.SIGSTOP)
        state = await running.until("failed", 15)
        assert re.fullmatch(r"llama-server makes no progress with a token for \d+ s", state.reason)
        assert not running.server.died_of_requests


async def test_many_clients_at_once_have_their_threads_without_control_groups(
    engine: Engine, model: ModelInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_bound, "control_group", lambda most: None)
    async with pool(engine, place(model, [host(1 << 30)], EngineSettings(512, 1)), tmp_path) as running:
        await running.until("ready")
        async with AsyncExitStack() as clients:
            for _ in range(300):  # each has a thread from its first line until its last
                client = await clients.enter_async_context(await running.server.connect())
                await client.send_all(b"GET /health HTTP/1.1\r\n")
            assert running.server.pid is not None
            process = psutil.Process(running.server.pid)
            await until(lambda: process.num_threads() > 300)
            assert len(await greedy(running.url, PROMPT, 3)) == 3


async def test_a_server_that_was_stopped_is_killed_without_being_asked(
    engine: Engine, model: ModelInfo, tmp_path: Path
) -> None:
    plan = place(model, [host(1 << 30)], EngineSettings(512, 1))
    async with pool(engine, plan, tmp_path) as running:
        await running.until("ready")
        assert running.server.pid is not None
        os.kill(running.server.pid, signal.SIGSTOP)
        state = await running.until("failed", 10)
        assert state.reason == "llama-server was stopped"
        assert not running.server.died_of_requests


async def test_conversations_go_on_in_the_next_server_with_another_split(
    engine: Engine, model: ModelInfo, tmp_path: Path
) -> None:
    request = {"prompt": PROMPT * 8, "n_predict": 8, "temperature": 0, "return_tokens": True}
    answers = []
    for restore, on_leader in ((False, 0), (True, 3)):
        plan = split_plan(model, on_leader)
        slots = Slots(tmp_path / "slots", plan, MODEL)
        async with pool(engine, plan, tmp_path, slots=slots, restore=restore) as running:
            await running.until("ready")
            domains = {slot: saved.domain for slot, saved in running.server.restored.items()}
            assert domains == ({0: "anna"} if restore else {})
            answers.append(await post(f"{running.url}/completion", request))
            await running.server.keep_conversations({0: SlotContent("anna")})
    assert answers[0]["timings"]["prompt_n"] > 40
    assert answers[1]["timings"]["prompt_n"] < 10, "its prompt was there already"
    assert answers[1]["tokens"] == answers[0]["tokens"]


async def test_where_conversations_cannot_be_kept_the_server_runs_without(
    engine: Engine, model: ModelInfo, tmp_path: Path
) -> None:
    plan = place(model, [host(1 << 30)], EngineSettings(512, 1))
    (tmp_path / "file").touch()
    slots = Slots(tmp_path / "file" / "slots", plan, MODEL)
    async with pool(engine, plan, tmp_path, slots=slots) as running:
        await running.until("ready")
        await running.server.keep_conversations({0: SlotContent("")})
        assert len(await greedy(running.url, PROMPT, 3)) == 3


async def test_a_slot_can_be_saved_under_no_name_that_is_not_there(
    engine: Engine, model: ModelInfo, tmp_path: Path
) -> None:
    if not landlock.abi():
        pytest.skip("without Landlock the server is ended for what it makes")
    plan = place(model, [host(1 << 30)], EngineSettings(512, 1))
    slots = Slots(tmp_path / "slots", plan, MODEL)
    async with pool(engine, plan, tmp_path, slots=slots) as running:
        await running.until("ready")
        await greedy(running.url, PROMPT, 3)
        for name in ("mine", "slot-1", "parked-2", "manifest.json", "../manifest.json"):
            assert await _save(running.url, name) >= 400
        for name in ("slot-0", "parked-1"):
            assert await _save(running.url, name) == 200
        assert {file.name for file in slots.files.iterdir()} == {"slot-0", "parked-0", "parked-1"}
        assert [file.name for file in slots.folder.iterdir()] == ["files"]


async def test_a_server_that_writes_more_than_it_may_is_ended(
    engine: Engine, model: ModelInfo, tmp_path: Path
) -> None:
    plan = place(model, [host(1 << 30)], EngineSettings(512, 1))
    slots = Slots(tmp_path / "slots", plan, MODEL)
    async with pool(engine, plan, tmp_path, slots=slots) as running:
        await running.until("ready")
        os.truncate(slots.files / "slot-0", slots.file_bytes + 1)  # as one with an accelerator could
        state = await running.until("failed", 5)
    assert re.fullmatch(r"llama-server wrote \d+ MiB to slot-0, which may have \d+", state.reason)


async def test_on_a_disk_that_is_full_a_server_keeps_nothing_and_goes_on(
    engine: Engine, model: ModelInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, disk = place(model, [host(1 << 30)], EngineSettings(512, 1)), tmp_path / "disk"
    slots = Slots(disk / "slots", plan, MODEL)
    async with AsyncExitStack() as stack:
        try:
            stack.enter_context(disks.disk_at(disk))
        except RuntimeError:
            pytest.skip("a full disk needs a mount (root on Linux)")
        running = await stack.enter_async_context(pool(engine, plan, tmp_path, slots=slots))
        await running.until("ready")
        await greedy(running.url, PROMPT, 3)
        disks.fill(disk)
        assert await _save(running.url, "slot-0") >= 400, "the engine reports that it could not write"
        # As if it had filled up just after the look at what is free.
        monkeypatch.setattr(slots, "_check_room", lambda wanted: None)
        await running.server.keep_conversations({0: SlotContent("")})
        assert not are_kept(slots.folder)
        assert (slots.files / "slot-0").stat().st_size == 0
        assert len(await greedy(running.url, PROMPT, 3)) == 3


async def test_a_file_that_the_engine_refuses_fails_with_its_words(
    engine: Engine, model: ModelInfo, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(
        model.files[0].read_bytes().replace(b"llama.attention.head_count", b"llama.attention.head_xount")
    )
    plan = place(read(model.files[0]), [host(1 << 30)], EngineSettings(512, 1))
    object.__setattr__(plan.model_info, "files", (damaged,))
    async with pool(engine, plan, tmp_path) as running:
        state = await running.until("failed")
        assert re.search("status 1: llama_model_load: error loading model: .* has wrong shape", state.reason)


async def test_the_reason_is_known_when_all_is_read_that_was_said_before_the_end(
    model: ModelInfo, tmp_path: Path
) -> None:
    program = tmp_path / "llama-server"
    said = ["send failed (bytes_sent=0, size_to_send=8)", *["noise"] * 8000, "/src/ggml-rpc.cpp:569: crashed"]
    program.write_text(
        f"#!{sys.executable}\nimport os\nos.write(2, {chr(10).join(said)!r}.encode())\nos.abort()\n"
    )
    program.chmod(0o755)
    server = LlamaServer(
        program, place(model, [host(1 << 30)], EngineSettings(512, 1)), no_listener, tmp_path / "log"
    )
    with trio.fail_after(30):
        state = await server.run()
    assert state.reason == "llama-server was killed by SIGABRT: ggml-rpc.cpp:569: crashed"
    assert not server.died_of_requests, "it was never ready"


async def test_an_engine_that_takes_more_than_its_placement_is_ended(
    engine: Engine, model: ModelInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama_server, "memory_limit", lambda plan: 1 << 20)
    async with pool(engine, place(model, [host(1 << 30)], EngineSettings(512, 1)), tmp_path) as running:
        state = await running.until("failed")
    assert re.fullmatch("llama-server took .*more.* than the 1 MiB of the placement", state.reason)


async def test_where_the_kernel_ended_an_engine_for_its_memory_that_is_the_reason(
    engine: Engine, model: ModelInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_bound.MemoryBound, "ended", lambda bound: "it took more memory")
    async with pool(engine, place(model, [host(1 << 30)], EngineSettings(512, 1)), tmp_path) as running:
        await running.until("ready")
        assert running.server.pid is not None
        os.kill(running.server.pid, signal.SIGKILL)
        state = await running.until("failed")
    assert state.reason == "it took more memory"
    assert running.server.died_of_requests


@pytest.mark.parametrize(
    ("number", "is_of_requests"),
    [(signal.SIGSEGV, True), (signal.SIGABRT, True), (signal.SIGKILL, False), (signal.SIGTERM, False)],
)
async def test_an_engine_dies_of_requests_by_a_signal_of_its_own(
    engine: Engine, model: ModelInfo, tmp_path: Path, number: int, is_of_requests: bool
) -> None:
    async with pool(engine, split_plan(model), tmp_path) as running:
        await running.until("ready")
        assert running.server.pid is not None
        os.kill(running.server.pid, number)
        await running.until("failed")
        assert running.server.died_of_requests is is_of_requests


async def test_while_a_worker_is_in_doubt_no_request_is_to_blame(
    engine: Engine, model: ModelInfo, tmp_path: Path
) -> None:
    async with pool(engine, split_plan(model), tmp_path, doubt=lambda: True) as running:
        await running.until("ready")
        assert running.server.pid is not None
        os.kill(running.server.pid, signal.SIGSEGV)
        await running.until("failed")
        assert not running.server.died_of_requests


def no_listener(group: RpcGroup, listener: trio.abc.Listener[trio.SocketStream]) -> None:
    """Of a plan without workers."""


async def _ask_until_cut(url: str) -> None:
    with suppress(httpx.TransportError):
        await post(f"{url}/completion", {"prompt": "go", "n_predict": 4000, "temperature": 0})


async def _save(url: str, name: str) -> int:
    """The status of saving the first slot under that name."""
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"{url}/slots/0?action=save", json={"filename": name}, timeout=30)
    return answer.status_code


async def _until_generating(url: str) -> None:
    with trio.fail_after(10):
        async with httpx.AsyncClient(trust_env=False) as client:
            while True:
                slots = (await client.get(f"{url}/slots")).json()
                if any(slot["is_processing"] and slot["next_token"][0]["n_decoded"] > 3 for slot in slots):
                    return
                await trio.sleep(0.02)


def _server_log(directory: Path) -> str:
    (log,) = directory.glob("server-*.log")
    return log.read_text()
