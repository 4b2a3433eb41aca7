"""What the reconciler decides is carried out: llama-server runs, its pool is told, and it ends in time."""

import json
import math
import os
import signal
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import trio
from trio.testing import MockClock

from leader.model import gguf
from leader.model.held_models import Models
from leader.model.model_info import ModelInfo
from leader.placement.reading import read_model
from leader.placement.rpc_groups import RpcGroup
from leader.reconcile.decide import decide
from leader.reconcile.view import Decision, ReconcilerMemory, Stop, View
from mesh.engine.types import Engine
from mesh.net.stream_kinds import StreamKind
from mesh.runtime.clock import now
from mesh.runtime.status import current_state
from mesh.serving.asking.door import Caller
from mesh.serving.leader_loop import LeaderLoop
from mesh.serving.worker_loop import WorkerLoop
from mesh.tools.generator import ModelSpec, generate
from mesh.wire.facts import PoolState
from mesh.wire.identity import id_text
from mesh.wire.profile import Model
from mesh.wire.rights import Rights
from simulations.signing import KeyedHash
from tests.mesh.fake_engine import fake_engine
from tests.mesh.machines import Ground, Here
from tests.waiting import until
from tests.worker.lent import Lent, part

SPEC = ModelSpec(layers=4, n_embd=64, heads=2, kv_heads=1, ffn=96, vocabulary=512, context=256)
GIB = 1 << 30


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("model") / "small.gguf", SPEC)[0]


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return fake_engine(tmp_path / "engine")


class Led:
    """Anna leads, and her reconciler runs; from here on time is real, as processes need it."""

    def __init__(self, anna: Here, engine: Engine | None, nursery: trio.Nursery) -> None:
        assert anna.driver is not None
        self.anna = anna
        self.models = Models(anna.state.path / "models.json")
        self.leading = LeaderLoop(anna.machine(engine), anna.driver, self.models)
        nursery.start_soon(self.leading.run)

    def deploy(
        self,
        file: Path,
        running: bool = True,
        held: bool = True,
        layers: dict[Here, int] | None = None,
        root: bytes = b"r" * 32,
    ) -> None:
        model_info = gguf.read(file)
        model = Model(file.name, model_info.total_bytes, root)
        if held:
            self.models.add(model.name, model.root, model_info.files)
        assert self.anna.driver is not None
        counts = tuple((here.id, count) for here, count in (layers or {}).items())
        self.anna.driver.do(self.anna.node.deploy, model, 128, 1, running, counts)
        self.anna.changes.notify()

    async def ask(self, prompt: str) -> None:
        """Have llama-server answer, which then holds the conversation in its slot."""
        body = json.dumps({"prompt": prompt}).encode()
        async with self.leading.door.connect(Caller("me", True), StreamKind.API) as stream:
            head = b"POST /completion HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            await stream.send_all(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            answer = b""
            while piece := await stream.receive_some(1000):
                answer += piece
        assert answer.startswith(b"HTTP/1.1 200")

    def told(self) -> PoolState | None:
        return current_state(self.anna.node)

    async def until_told(self, phase: str) -> PoolState:
        with trio.fail_after(10):
            while (told := self.told()) is None or told.phase != phase:
                await self.anna.changes.wait(self.anna.changes.count, 0.05)
        return told


def able(here: Here, rank: int) -> None:
    """It offers memory and says that its engine is ready."""
    here.profile = replace(
        here.profile, rank=rank, memory_total=GIB, memory_offered=GIB, engine_state="ready",
        engine_commit="abc", engine_rpc="7.0.0",
    )  # fmt: skip


async def led(
    ground: Ground, clock: MockClock, engine: Engine | None, nursery: trio.Nursery, *others: Here
) -> Led:
    anna = await ground.machine("anna")
    able(anna, rank=100)
    anna.found()
    for here in others:
        able(here, rank=1)
        here.enter(await here.search().by_host(anna.endpoint, anna.invite()))
    await ground.acquaint(anna, *others)
    with trio.fail_after(30):
        while (claim := anna.node.leader()) is None or claim.author != anna.id:
            await anna.changes.wait(anna.changes.count, 1)
    clock.autojump_threshold = math.inf
    clock.rate = 1.0
    return Led(anna, engine, nursery)


async def test_a_model_that_fits_here_is_served_here_until_it_is_stopped(
    clock: MockClock, ground: Ground, engine: Engine, nursery: trio.Nursery, file: Path
) -> None:
    one = await led(ground, clock, engine, nursery)
    assert one.leading.served() is None
    one.deploy(file)
    told = await one.until_told("ready")
    assert [(stage.member, stage.first, stage.last) for stage in told.stages] == [(one.anna.id, 0, 3)]
    assert told.tokens_per_second > 0
    assert one.leading.served() is not None
    async with one.leading.door.connect(Caller("me", True), StreamKind.API) as stream:
        await stream.send_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await stream.receive_some(100)).startswith(b"HTTP/1.1 200")
    one.deploy(file, running=False)
    await one.until_told("stopped")
    assert one.leading.served() is None


async def test_who_was_in_an_engine_that_died_of_it_is_blamed(
    clock: MockClock, ground: Ground, engine: Engine, nursery: trio.Nursery, file: Path
) -> None:
    one = await led(ground, clock, engine, nursery)
    one.deploy(file)
    member, deaths = id_text(b"m" * 16), one.leading.deaths
    for number, suspended in ((signal.SIGKILL, False), (signal.SIGSEGV, True)):
        await until(lambda: one.leading.served() is not None)
        deaths.begin(now(), member, b"digest")
        os.kill(llama_server_of(one.leading), number)
        await until(lambda: one.leading.served() is None)
        await until(lambda: one.leading.served() is not None)
        assert (deaths.suspended_seconds(now(), member) > 0) is suspended
    assert deaths.deaths(member) == 1


async def test_a_member_that_may_not_ask_is_refused_and_counted(
    clock: MockClock, ground: Ground, engine: Engine, nursery: trio.Nursery
) -> None:
    one = await led(ground, clock, engine, nursery)
    assert one.leading.barred(one.anna.id) is None
    assert one.anna.driver is not None
    silent = KeyedHash(7)
    one.anna.driver.do(one.anna.node.vouch, silent.public_key, Rights.parse("work"))
    refused = one.leading.barred(silent.id)
    assert refused is not None
    assert refused.code == "may_not_ask"
    assert one.leading.askers.accounts()[id_text(silent.id)].refused == 1


def llama_server_of(leading: LeaderLoop) -> int:
    assert leading._pipeline is not None
    assert leading._pipeline._server is not None
    assert leading._pipeline._server.pid is not None
    return leading._pipeline._server.pid


async def test_layers_of_another_machine_are_reached_through_its_gate(
    clock: MockClock, ground: Ground, engine: Engine, nursery: trio.Nursery, file: Path
) -> None:
    bert = await ground.machine("bert")
    one = await led(ground, clock, engine, nursery, bert)
    bert.work = WorkerLoop(bert.machine(engine), lambda: bert.node.holder(trio.current_time()))
    bert.work.lend([Lent()])
    nursery.start_soon(bert.work.run)
    one.deploy(file, layers={one.anna: 2, bert: 2})
    told = await one.until_told("ready")
    assert [(stage.member, stage.first, stage.last) for stage in told.stages] == [
        (one.anna.id, 0, 1),
        (bert.id, 2, 3),
    ]
    holder = bert.holders[-1]
    assert holder is not None
    assert holder.author == one.anna.id
    assert bert.work.gate is not None
    counters = bert.work.gate.counters
    assert (counters.bytes_in, counters.bytes_out) == (33 + len(b"hello"), 36 + len(b"hello"))
    one.deploy(file, running=False)
    with trio.fail_after(10):
        await until(lambda: bert.holders[-1] is None)


@pytest.mark.parametrize("groups", [[("cpu:0",), ("cpu:1",)], [("cpu:1", "cpu:0")], [("",)]], ids=str)
async def test_a_tunnel_leads_to_the_rpc_server_of_the_devices_that_it_names(
    clock: MockClock,
    ground: Ground,
    engine: Engine,
    nursery: trio.Nursery,
    groups: list[tuple[str, ...]],
) -> None:
    bert = await ground.machine("bert")
    one = await led(ground, clock, engine, nursery, bert)
    claim = one.anna.node.leader()
    assert claim is not None
    bert.work = work = WorkerLoop(bert.machine(engine), lambda: claim)
    work.lend([part(0), part(1)])
    nursery.start_soon(work.run)
    with trio.fail_after(20):
        for devices in groups:
            tunnel = await one.leading._open_tunnel(RpcGroup(bert.id, devices), claim.term)
            server = work.serving([name for name in devices if name])
            assert server is not None
            assert server.turn.locked()
            tunnel.end.close()
            await tunnel.session.aclose()


async def test_a_llama_server_that_fails_is_told_with_its_reason_and_tried_again(
    clock: MockClock, ground: Ground, engine: Engine, nursery: trio.Nursery, file: Path
) -> None:
    broken = engine.llama_server.with_name("broken")
    broken.write_text("error: this tensor is upside down")
    one = await led(ground, clock, engine, nursery)
    one.deploy(file)
    with trio.fail_after(10):
        while (told := one.told()) is None or "upside down" not in told.reason:
            await one.anna.changes.wait(one.anna.changes.count, 0.05)
    broken.unlink()
    await one.until_told("ready")


async def test_a_leader_without_the_file_waits_for_it(
    clock: MockClock, ground: Ground, engine: Engine, nursery: trio.Nursery, file: Path
) -> None:
    one = await led(ground, clock, engine, nursery)
    one.deploy(file, held=False)
    told = await one.until_told("waiting")
    assert "does not hold small.gguf, and no member holds it" in told.reason
    one.deploy(file)
    await one.until_told("ready")


async def test_the_leader_hands_over_to_who_holds_the_file(
    clock: MockClock, ground: Ground, engine: Engine, nursery: trio.Nursery, file: Path
) -> None:
    bert = await ground.machine("bert")
    bert.profile = replace(bert.profile, models=(Model(file.name, 8, b"r" * 32),))
    one = await led(ground, clock, engine, nursery, bert)
    one.deploy(file, held=False)
    with trio.fail_after(10):
        while (claim := bert.node.leader()) is None or claim.author != bert.id:
            await bert.changes.wait(bert.changes.count, 0.05)
    assert one.leading.served() is None


async def test_a_model_deployed_while_another_is_read_is_read_before_anything_is_decided(
    clock: MockClock,
    ground: Ground,
    engine: Engine,
    nursery: trio.Nursery,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    views: list[View] = []
    reading, read_on = threading.Event(), threading.Event()

    def read_slowly(path: Path) -> ModelInfo:
        reading.set()
        assert read_on.wait(10)
        return read_model(path)

    def watched(now: float, view: View, memory: ReconcilerMemory) -> Decision:
        views.append(view)
        return decide(now, view, memory)

    monkeypatch.setattr("mesh.serving.leader_loop.read_model", read_slowly)
    monkeypatch.setattr("leader.reconcile.driver.decide", watched)
    one = await led(ground, clock, engine, nursery)
    one.deploy(file)
    with trio.fail_after(10):
        await until(reading.is_set)
    one.deploy(file, root=b"s" * 32)
    read_on.set()
    await one.until_told("ready")
    assert [view for view in views if view.wanted is not None and view.model_info is None] == []


async def test_a_node_that_does_not_lead_runs_nothing(
    clock: MockClock, ground: Ground, engine: Engine, nursery: trio.Nursery, file: Path
) -> None:
    bert = await ground.machine("bert")
    one = await led(ground, clock, None, nursery, bert)
    assert bert.driver is not None
    models = Models(bert.state.path / "models.json")
    model_info = gguf.read(file)
    models.add(file.name, b"r" * 32, model_info.files)
    follower = LeaderLoop(bert.machine(engine), bert.driver, models)
    nursery.start_soon(follower.run)
    one.deploy(file, held=False)
    with trio.fail_after(10):
        while bert.node.deployment() is None:
            await bert.changes.wait(bert.changes.count, 0.05)
    await trio.testing.wait_all_tasks_blocked()
    assert follower.served() is None
    assert bert.node.leases(trio.current_time()) == frozenset()


async def test_what_was_served_ends_with_the_stay(
    clock: MockClock, ground: Ground, engine: Engine, file: Path
) -> None:
    async with trio.open_nursery() as stay:
        one = await led(ground, clock, engine, stay)
        one.deploy(file)
        await one.until_told("ready")
        running = [child.pid for child in psutil.Process().children() if _is_of(child, engine)]
        stay.cancel_scope.cancel()
    assert len(running) == 1
    assert not psutil.pid_exists(running[0])
    assert not (one.anna.state.path / "slots").exists()


def _written(here: Here) -> Path:
    """A file below the folder of the slots, as a member, a crash or an older program leaves it."""
    folder = here.state.path / "slots"
    folder.mkdir(exist_ok=True)
    (folder / "slot-0").write_bytes(b"somebody's")
    return folder


@pytest.mark.parametrize("end", ["stopped", "replaced", "failed"])
async def test_what_the_slots_held_ends_with_what_was_served(
    clock: MockClock, ground: Ground, engine: Engine, nursery: trio.Nursery, file: Path, end: str
) -> None:
    one = await led(ground, clock, engine, nursery)
    one.deploy(file)
    await one.until_told("ready")
    folder = one.anna.state.path / "slots"
    names = sorted(file.name for file in (folder / "files").iterdir())
    assert names == ["parked-0", "parked-1", "slot-0"]
    for name in names:
        (folder / "files" / name).write_bytes(b"somebody's")
    _written(one.anna)
    if end == "failed":
        engine.llama_server.with_name("broken").write_text("error")
        (running,) = [child for child in psutil.Process().children() if _is_of(child, engine)]
        running.kill()
    else:
        one.deploy(file, running=end == "replaced", root=b"s" * 32)
    with trio.fail_after(10):
        await until(lambda: not (folder / "slot-0").exists())
        if end == "stopped":
            await until(lambda: not folder.exists())
    kept = [folder / "files" / name for name in names]
    assert not [file for file in kept if file.exists() and file.stat().st_size]


@pytest.mark.parametrize("leads", [True, False])
async def test_what_a_crash_left_in_the_slots_is_gone_before_anything_is_served(
    clock: MockClock, ground: Ground, engine: Engine, nursery: trio.Nursery, leads: bool
) -> None:
    bert = await ground.machine("bert")
    one = await led(ground, clock, engine, nursery, bert)
    here = one.anna if leads else bert
    assert here.driver is not None
    folder = _written(here)
    loop = LeaderLoop(here.machine(engine), here.driver, Models(here.state.path / "models.json"))
    nursery.start_soon(loop.run)
    with trio.fail_after(10):
        await until(lambda: not folder.exists())


async def test_conversations_wait_for_the_move_that_they_were_kept_for_and_no_longer(
    clock: MockClock,
    ground: Ground,
    engine: Engine,
    nursery: trio.Nursery,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moves, folders = [False], []

    def moving(now: float, view: View, memory: ReconcilerMemory) -> Decision:
        folders.append(folder.exists())
        if not moves[0]:
            return decide(now, view, memory)
        if view.running is not None:
            return Decision((Stop("moves", keep=True),), ReconcilerMemory(kept=view.wanted))
        return Decision((), memory)  # the move waits for a lease

    monkeypatch.setattr("leader.reconcile.driver.decide", moving)
    one = await led(ground, clock, engine, nursery)
    folder = one.anna.state.path / "slots"
    one.deploy(file)
    await one.until_told("ready")
    await one.ask("Once upon a time " * 40)
    moves[0] = True
    one.anna.changes.notify()
    with trio.fail_after(10):
        await until(lambda: (folder / "manifest.json").exists())
        before = len(folders)
        await until(lambda: len(folders) > before + 2)
    assert all(folders[before:])
    assert (folder / "files" / "slot-0").read_bytes() == b"kv"
    moves[0] = False
    one.deploy(file, running=False)
    with trio.fail_after(10):
        await until(lambda: not folder.exists())


def _is_of(process: psutil.Process, engine: Engine) -> bool:
    with suppress(psutil.Error):  # it may be ending
        return str(engine.llama_server) in process.cmdline()
    return False
