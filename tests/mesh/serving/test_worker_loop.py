"""The worker's part: rpc-server runs behind the gate, and only the lease holder's streams pass."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from leader.llama.tunnels import TunnelRefused, pass_gate
from mesh.engine.process.supervise import State
from mesh.net.link import trusts_by
from mesh.net.stream_ends import End, Plain, Sealed
from mesh.serving.worker_loop import WorkerLoop
from mesh.wire.errors import MeshError
from mesh.wire.facts import Claim
from tests.mesh.fake_engine import fake_engine
from tests.mesh.machines import Ground, Here
from tests.mesh.net.conftest import members
from tests.waiting import until
from tests.worker.lent import Lent, part

HELLO = bytes([14, 24]) + bytes(7 + 24)


@pytest.fixture
async def real_ground(tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[Ground]:
    """Machines in real time, for processes do not care for any other."""
    ground = Ground(nursery, tmp_path)
    yield ground
    nursery.cancel_scope.cancel()
    ground.close()


async def leader_and_worker(ground: Ground) -> tuple[Here, Here]:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    for here in (anna, bert):
        here.streams.trust(members(anna.identity, bert.identity))
    return anna, bert


def claim(here: Here, term: int = 7) -> Claim:
    return Claim(here.own_pool, here.id, term, 1)


@asynccontextmanager
async def tunnel(
    leader: Here, worker: Here, term: int = 7, plain: bool = True, **named: object
) -> AsyncIterator[End]:
    arguments = {"term": term, "plain": plain, **named}
    session = await leader.streams.open(worker.id, [worker.endpoint], "tunnel", arguments)
    try:
        passage = await pass_gate(session, trusts_by(None))
        yield passage.end
        passage.end.close()
    finally:
        await session.aclose()


async def ends(end: End) -> bool:
    def look() -> bool:
        try:
            return not end.receive()
        except OSError:
            return True

    return await trio.to_thread.run_sync(look)


async def running(
    ground: Ground, worker: Here, work: WorkerLoop, nursery: trio.Nursery, lent: Sequence[Lent] = (Lent(),)
) -> None:
    worker.work = work
    work.lend(lent)
    nursery.start_soon(work.run)
    with trio.fail_after(10):
        await until(lambda: work.ready)


async def test_the_lease_holder_reaches_rpc_server(
    real_ground: Ground, nursery: trio.Nursery, tmp_path: Path
) -> None:
    anna, bert = await leader_and_worker(real_ground)
    work = WorkerLoop(bert.machine(fake_engine(tmp_path / "engine")), lambda: claim(anna))
    await running(real_ground, bert, work, nursery)
    with trio.fail_after(10):
        for plain, kind in ((True, Plain), (False, Sealed)):
            async with tunnel(anna, bert, plain=plain) as end:
                assert isinstance(end, kind), "loopback needs no TLS, if both can do without"
                end.send(HELLO + b"word")
                received = b""
                while len(received) < 36 + len(b"word"):
                    received += bytes(await trio.to_thread.run_sync(end.receive))
                assert received.endswith(b"word")


async def test_another_term_or_nobodys_lease_is_refused_with_the_reason(
    real_ground: Ground, nursery: trio.Nursery, tmp_path: Path
) -> None:
    anna, bert = await leader_and_worker(real_ground)
    work = WorkerLoop(bert.machine(fake_engine(tmp_path / "engine")), lambda: None)
    await running(real_ground, bert, work, nursery)
    with trio.fail_after(10):
        with pytest.raises(TunnelRefused, match="leased to nobody"):
            async with tunnel(anna, bert):
                pass
        work.set_holder(claim(anna))
        with pytest.raises(TunnelRefused, match="another claim, of term 7"):
            async with tunnel(anna, bert, term=6):
                pass


async def test_streams_are_cut_when_the_lease_changes_hands(
    real_ground: Ground, nursery: trio.Nursery, tmp_path: Path
) -> None:
    anna, bert = await leader_and_worker(real_ground)
    work = WorkerLoop(bert.machine(fake_engine(tmp_path / "engine")), lambda: claim(anna))
    await running(real_ground, bert, work, nursery)
    with trio.fail_after(10):
        async with tunnel(anna, bert) as end:
            work.set_holder(None)
            work.set_holder(claim(anna, term=8))
            assert await ends(end)
        async with tunnel(anna, bert, term=8):
            pass


async def test_before_there_is_an_engine_a_leader_is_told_so(
    real_ground: Ground, nursery: trio.Nursery
) -> None:
    anna, bert = await leader_and_worker(real_ground)
    bert.work = WorkerLoop(bert.machine(None), lambda: claim(anna))
    nursery.start_soon(bert.work.run)
    with trio.fail_after(10), pytest.raises(TunnelRefused, match="not ready"):
        async with tunnel(anna, bert):
            pass
    assert not bert.work.ready


async def test_an_engine_that_comes_later_is_put_to_work(
    real_ground: Ground, nursery: trio.Nursery, tmp_path: Path
) -> None:
    _, bert = await leader_and_worker(real_ground)
    machine = bert.machine(None)
    work = WorkerLoop(machine, lambda: None)
    work.lend([Lent()])
    nursery.start_soon(work.run)
    await trio.testing.wait_all_tasks_blocked()
    machine.keeper.engine = fake_engine(tmp_path / "engine")
    before = bert.changes.count
    machine.changes.notify()
    with trio.fail_after(10):
        await until(lambda: work.ready)
    assert bert.changes.count > before + 1, "that it is ready is a change of its own"


async def test_a_node_that_does_not_work_starts_nothing(real_ground: Ground, tmp_path: Path) -> None:
    _, bert = await leader_and_worker(real_ground)
    work = WorkerLoop(bert.machine(fake_engine(tmp_path / "engine"), work=False), lambda: None)
    with trio.fail_after(10):
        await work.run()
    assert work.gate is None
    assert not work.ready


async def test_when_the_stay_ends_nothing_of_it_runs_on(real_ground: Ground, tmp_path: Path) -> None:
    _, bert = await leader_and_worker(real_ground)
    work = WorkerLoop(bert.machine(fake_engine(tmp_path / "engine")), lambda: None)
    async with trio.open_nursery() as nursery:
        await running(real_ground, bert, work, nursery)
        nursery.cancel_scope.cancel()
    assert not work.ready
    assert work.gate is None


async def test_each_device_has_a_tunnel_and_one_that_is_not_lent_is_refused(
    real_ground: Ground, nursery: trio.Nursery, tmp_path: Path
) -> None:
    anna, bert = await leader_and_worker(real_ground)
    work = WorkerLoop(bert.machine(fake_engine(tmp_path / "engine")), lambda: claim(anna))
    await running(real_ground, bert, work, nursery, [part(0), part(1)])
    with trio.fail_after(10):
        await until(lambda: all(server_is_ready(work, device) for device in ("cpu:0", "cpu:1")))
        async with tunnel(anna, bert, devices=["cpu:0"]), tunnel(anna, bert, devices=["cpu:1"]):
            pass
        with pytest.raises(TunnelRefused, match="lends no 'CUDA0', but cpu:0, cpu:1"):
            async with tunnel(anna, bert, devices=["CUDA0"]):
                pass
    assert bert.state.path.joinpath("rpc-server-cpu-1.log").exists()


def server_is_ready(work: WorkerLoop, device: str) -> bool:
    try:
        server = work.serving([device])
    except MeshError:  # it is not lent yet
        return False
    return server is not None and server.state is State.READY


async def test_devices_that_change_are_lent_anew(
    real_ground: Ground, nursery: trio.Nursery, tmp_path: Path
) -> None:
    anna, bert = await leader_and_worker(real_ground)
    machine = bert.machine(fake_engine(tmp_path / "engine"))
    work = WorkerLoop(machine, lambda: claim(anna))
    await running(real_ground, bert, work, nursery)
    with trio.fail_after(10):
        async with tunnel(anna, bert) as end:
            work.lend([part(1)])
            assert await ends(end)
        await until(lambda: server_is_ready(work, "cpu:1"))
        async with tunnel(anna, bert, devices=["cpu:1"]):
            pass
