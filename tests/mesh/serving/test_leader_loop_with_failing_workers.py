"""A worker whose rpc-server aborts at each load: where nothing else can serve, the leader says so."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from mesh.engine.types import Engine
from mesh.net.stream_kinds import StreamKind
from mesh.serving.last_words import handle_words
from mesh.serving.leader_loop import LACKS_MEMORY
from mesh.serving.worker_loop import WorkerLoop
from mesh.tools.generator import generate
from mesh.wire.states import Phase
from tests.mesh.fake_engine import fake_engine
from tests.mesh.machines import Ground, Here
from tests.mesh.serving.test_leader_loop import SPEC, Led, led
from tests.worker.lent import Lent

WORD = "ggml-rpc: this backend has no CONV_3D"


def aborting(folder: Path) -> Engine:
    """An engine whose rpc-server says why, and aborts, once a client goes on after its greeting."""
    engine = fake_engine(folder)
    program = engine.rpc_server.read_text()
    echo = "            client.sendall(data)\n"
    assert echo in program
    abort = f"            print({WORD!r}, flush=True)\n            os.abort()\n"
    engine.rpc_server.write_text(program.replace(echo, abort).replace("import socket", "import os, socket"))
    return engine


def refused(folder: Path, place: str, waits: bool = False) -> Engine:
    """An engine whose llama-server says that its worker has not the memory, at ``place`` of its own end.

    It ends then, unless it ``waits`` for its end, once its worker is gone.
    """
    engine = fake_engine(folder)
    program = engine.llama_server.read_text()
    goes_on = "        if tunnel.recv(5)"
    assert goes_on in program
    line = "llama_model_load: error loading model: unable to allocate RPC0[" + place + "] buffer"
    then = "tunnel.recv(5), __import__('time').sleep(60)" if waits else "sys.exit(1)"
    said = f"        print(f{line!r}, flush=True)\n        {then}\n"
    engine.llama_server.write_text(program.replace(goes_on, said + goes_on))
    return engine


def works(here: Here, engine: Engine, nursery: trio.Nursery) -> None:
    work = here.work = WorkerLoop(here.machine(engine), lambda: here.node.holder(trio.current_time()))
    work.lend([Lent()])
    here.handlers[StreamKind.WORDS] = lambda session: handle_words(here.node, work, session)
    nursery.start_soon(work.run)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return fake_engine(tmp_path / "engine")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return generate(tmp_path / "small.gguf", SPEC)[0]


async def phases_of(one: Led, seconds: float) -> list[tuple[str, str]]:
    """The phases and reasons that the pool was told, until it failed."""
    seen: list[tuple[str, str]] = []
    with trio.fail_after(seconds):
        while not seen or seen[-1][0] != Phase.FAILED:
            told = one.told()
            if told is not None and (not seen or seen[-1] != (told.phase, told.reason)):
                seen.append((told.phase, told.reason))
            await one.anna.changes.wait(one.anna.changes.count, 0.05)
    return seen


async def failed(
    ground: Ground, clock: MockClock, nursery: trio.Nursery, file: Path, leads: Engine, computes: Engine
) -> tuple[Led, Here, list[tuple[str, str]]]:
    """A leader by the one engine that has failed with its only worker, bert, by the other; what was told."""
    bert = await ground.machine("bert")
    one = await led(ground, clock, leads, nursery, bert)
    works(bert, computes, nursery)
    one.deploy(file, layers={one.anna: 2, bert: 2})
    return one, bert, await phases_of(one, 60)


async def test_where_nothing_else_can_serve_it_has_failed_within_three_loads(
    clock: MockClock,
    ground: Ground,
    engine: Engine,
    nursery: trio.Nursery,
    file: Path,
    tmp_path: Path,
) -> None:
    one, bert, told = await failed(ground, clock, nursery, file, engine, aborting(tmp_path / "aborting"))
    assert "SIGABRT" in told[-1][1]
    assert WORD in one.leading.reasons()[0]
    [(key, exclusion)] = one.leading.reasons()[1].items()
    assert key[0] == bert.id
    assert WORD in exclusion.reason
    assert exclusion.times <= 3


async def test_who_refuses_the_memory_that_it_offers_is_named_and_told_to_lend_less(
    clock: MockClock, ground: Ground, nursery: trio.Nursery, file: Path, tmp_path: Path
) -> None:
    refuses, honest = refused(tmp_path / "engine", "{place}"), fake_engine(tmp_path / "honest")
    one, bert, told = await failed(ground, clock, nursery, file, refuses, honest)
    assert "memory that was counted on was not there" in told[-1][1]
    assert "unable to allocate bert buffer" in one.leading.reasons()[0]
    assert LACKS_MEMORY in one.leading.reasons()[0]
    [(key, exclusion)] = one.leading.reasons()[1].items()
    assert (key[0], exclusion.reason) == (bert.id, LACKS_MEMORY)


async def test_a_worker_that_is_not_at_that_end_of_a_tunnel_is_not_named(
    clock: MockClock, ground: Ground, nursery: trio.Nursery, file: Path, tmp_path: Path
) -> None:
    elsewhere, honest = refused(tmp_path / "engine", "{place}0"), fake_engine(tmp_path / "honest")
    one, _, _ = await failed(ground, clock, nursery, file, elsewhere, honest)
    assert "unable to allocate RPC0[" in one.leading.reasons()[0]
    assert one.leading.reasons()[1] == {}


async def test_a_line_of_memory_in_the_log_of_one_that_was_killed_names_nobody(
    clock: MockClock, ground: Ground, nursery: trio.Nursery, file: Path, tmp_path: Path
) -> None:
    waits = refused(tmp_path / "engine", "{place}", waits=True)
    one, _, _ = await failed(ground, clock, nursery, file, waits, aborting(tmp_path / "aborting"))
    [exclusion] = one.leading.reasons()[1].values()
    assert WORD in exclusion.reason
