"""A machine's rpc-servers: one for each device, or for several, never two for one."""

import itertools
import os
import re
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import psutil
import pytest
import trio

from mesh.engine.process.restarts import Restarts
from mesh.engine.types import Engine
from mesh.wire.errors import MeshError
from tests.mesh.engine.process.processes import is_gone
from tests.mesh.fake_engine import fake_engine
from tests.waiting import until
from tests.worker.lent import Lent, part
from tests.worker.test_rpc_server import greet, told
from worker.rpc_server import RpcServer
from worker.rpc_servers import LentDevice, RpcServers

GIB = 1 << 30
PARTS = [part(0), part(1)]
GPUS = [
    Lent("CUDA0", "CUDA0", "cuda", 4 * GIB),
    Lent("CUDA1", "CUDA1", "cuda", 4 * GIB),
    Lent("CPU", "CPU", "cpu", GIB),
]
DEVICE_COUNT = 15


async def begun(
    engine: Engine, folder: Path, nursery: trio.Nursery, lent: Sequence[LentDevice]
) -> RpcServers:
    servers = RpcServers(
        engine.rpc_server,
        lent,
        lambda name: folder / f"{name}.log",
        threads=4,
        restarts=Restarts(first=0.01),
    )
    nursery.start_soon(servers.run)
    with trio.fail_after(60):
        await servers.wait_ready()
    return servers


@pytest.fixture
async def parts(engine: Engine, tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[RpcServers]:
    with trio.fail_after(60):
        yield await begun(engine, tmp_path, nursery, PARTS)


@pytest.fixture
async def gpus(tmp_path: Path, nursery: trio.Nursery) -> RpcServers:
    """Of an engine that takes any device, and serves none of them."""
    return await begun(fake_engine(tmp_path / "engine"), tmp_path, nursery, GPUS)


def logs(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name.endswith(".log"))


def argument(server: RpcServer, option: str) -> str:
    argv = psutil.Process(server.pid).cmdline()
    return argv[argv.index(option) + 1] if option in argv else ""


async def devices_of(server: RpcServer) -> int:
    """How many devices it tells a client of."""
    async with await server.connect() as stream:
        await greet(stream)
        return int.from_bytes(await told(stream, DEVICE_COUNT, b""), "little")


async def test_each_device_is_served_by_a_process_of_its_own_with_its_own_log(
    parts: RpcServers, tmp_path: Path
) -> None:
    first, second = parts.server(["cpu:0"]), parts.server(["cpu:1"])
    assert first.pid != second.pid
    assert [await devices_of(one) for one in (first, second)] == [1, 1]
    assert parts.server([]) is first, "without a name it is the first device"
    assert logs(tmp_path) == ["rpc-server-cpu-0.log", "rpc-server-cpu-1.log"]


async def test_a_group_is_one_process_of_several_devices_that_replaces_theirs(parts: RpcServers) -> None:
    before = [parts.server(["cpu:0"]), parts.server(["cpu:1"])]
    pids = [one.pid or 0 for one in before]
    group = parts.server(["cpu:0", "cpu:1"])
    assert parts.ready, "a machine is not away while it begins what a leader asked for"
    await group.wait_ready()
    assert all(map(is_gone, pids)), "a device's memory is lent once"
    assert await devices_of(group) == 2
    assert argument(group, "-d") == "CPU,CPU"
    assert parts.server(["cpu:0", "cpu:1"]) is group
    with pytest.raises(ConnectionRefusedError):
        await before[0].connect()


async def test_a_device_that_leaves_a_group_leaves_no_other_unserved(parts: RpcServers) -> None:
    group = parts.server(["cpu:0", "cpu:1"])
    await group.wait_ready()
    single = parts.server(["cpu:1"])
    other = parts.present(["cpu:0"])
    assert other is not None
    await parts.wait_ready()
    assert [await devices_of(one) for one in (single, other)] == [1, 1]


async def test_whatever_is_asked_in_a_hurry_ends_with_one_process_for_each_device(
    gpus: RpcServers,
) -> None:
    mine = psutil.Process()
    for names in (["CUDA0", "CPU"], ["CUDA1"], ["CPU", "CUDA1"], ["CUDA0"], ["CUDA0", "CUDA1", "CPU"]):
        gpus.server(names)
    last = gpus.server(["CUDA1", "CUDA0"])
    await gpus.wait_ready()
    running = [argument(one, "-d") for one in (last, gpus.server(["CPU"]))]
    assert running == ["CUDA1,CUDA0", "CPU"]
    devices = [
        name for child in mine.children(recursive=True) for name in re.findall(r"-d (\S+)", _line(child))
    ]
    assert sorted(set(devices)) == ["CPU", "CUDA1,CUDA0"]


def _line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


async def test_a_burst_of_requests_for_ever_other_groups_costs_little(
    engine: Engine, tmp_path: Path, nursery: trio.Nursery
) -> None:
    three = [part(number) for number in range(3)]
    servers = await begun(engine, tmp_path, nursery, three)
    names = [one.name for one in three]
    groups = [group for size in (1, 2, 3) for group in itertools.permutations(names, size)]
    for group in groups:  # a stream each, in one turn of the loop
        servers.server(group)
    assert max(len(one.after) for one in servers._serving) <= 3 * len(groups)
    with trio.fail_after(60):
        await servers.wait_ready()
    assert len(servers._serving) <= 3


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["CUDA7"], "lends no 'CUDA7', but CUDA0, CUDA1, CPU"),
        (["CUDA0", "cpu:0"], "lends no 'cpu:0'"),
        (["CPU", "CPU"], "named twice"),
    ],
)
async def test_what_is_not_lent_is_refused_in_words_and_ends_nothing(
    gpus: RpcServers, names: list[str], message: str
) -> None:
    pids = [gpus.server([device.name]).pid for device in GPUS]
    with pytest.raises(MeshError, match=message):
        gpus.server(names)
    assert [gpus.server([device.name]).pid for device in GPUS] == pids
    assert gpus.present(["CUDA0", "CUDA1"]) is None


async def test_a_machine_of_one_device_has_the_log_that_it_always_had(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    lent = [Lent()]
    servers = await begun(fake_engine(tmp_path / "engine"), tmp_path, nursery, lent)
    assert logs(tmp_path) == ["rpc-server.log"]
    server = servers.server([])
    assert argument(server, "-d") == ""
    assert argument(server, "-t") == "4"


async def test_parts_of_the_processor_share_its_threads(parts: RpcServers) -> None:
    assert [argument(parts.server([device.name]), "-t") for device in PARTS] == ["2", "2"]
    group = parts.server(["cpu:1", "cpu:0"])
    await group.wait_ready()
    assert argument(group, "-t") == "4"


async def test_before_it_runs_it_asks_for_patience(engine: Engine, tmp_path: Path) -> None:
    servers = RpcServers(engine.rpc_server, PARTS, lambda name: tmp_path / name)
    assert not servers.ready
    with pytest.raises(MeshError, match="not ready"):
        servers.server(["cpu:0"])


async def test_a_crash_of_one_leaves_the_others_alone(parts: RpcServers) -> None:
    first, second = parts.server(["cpu:0"]), parts.server(["cpu:1"])
    pids = first.pid or 0, second.pid
    async with await second.connect() as stream:
        await greet(stream)
        os.kill(pids[0], signal.SIGKILL)
        await until(lambda: first.end is not None)
        assert parts.ready
        assert len(await told(stream, DEVICE_COUNT, b"")) == 4
    await until(lambda: first.pid not in (pids[0], None))
    assert second.pid == pids[1]


async def test_what_runs_ends_with_its_owner(tmp_path: Path, engine: Engine) -> None:
    async with trio.open_nursery() as nursery:
        servers = await begun(engine, tmp_path, nursery, PARTS)
        pids = [servers.server([device.name]).pid or 0 for device in PARTS]
        nursery.cancel_scope.cancel()
    assert all(map(is_gone, pids))
    assert not servers.ready
