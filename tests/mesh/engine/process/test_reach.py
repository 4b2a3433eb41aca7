"""Both ways to an engine promise the same; and each keeps others out in its own way."""

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
import trio
import trio.testing

from mesh.engine.process import reach as module
from mesh.engine.process import rpc_port
from mesh.engine.process.reach import Cell, Loopback, Reach
from mesh.engine.sandbox.confinement import Confinement
from tests.mesh.engine.process.engines import CELLS, WORD, answer, connected, started
from tests.mesh.engine.process.strangers import heard, listening
from tests.waiting import until

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such addresses")
BOTH = pytest.mark.parametrize("cells", [pytest.param(True, marks=CELLS), False], ids=["cell", "loopback"])
STARTS = 10
CREATE_SERVER = socket.create_server


def descriptors() -> int:
    return len(os.listdir("/dev/fd"))


# --- what both promise


@BOTH
async def test_the_engine_is_reached_and_reaches_the_listeners_in_order(cells: bool) -> None:
    async with started(cells, listeners=5) as engine:
        heard = []
        with trio.fail_after(20):
            for listener in await engine.reach.listeners():
                async with listener, await listener.accept() as stream:
                    heard.append(await stream.receive_some(9))
            async with await connected(engine.reach) as stream:
                assert await answer(stream) == WORD
        assert heard == [b"0", b"1", b"2", b"3", b"4"]


@BOTH
async def test_an_engine_without_listeners_is_reached_too(cells: bool) -> None:
    async with started(cells) as engine:
        assert await engine.reach.listeners() == []
        async with await connected(engine.reach) as stream:
            assert await answer(stream) == WORD


@BOTH
async def test_no_other_program_inherits_what_leads_to_an_engine(cells: bool) -> None:
    async with started(cells, listeners=1) as engine:
        (listener,) = await engine.reach.listeners()
        async with listener, await listener.accept() as one, await connected(engine.reach) as other:
            assert not os.get_inheritable(one.socket.fileno())
            assert not os.get_inheritable(other.socket.fileno())


@BOTH
async def test_many_connections_at_once_reach_the_engine(cells: bool) -> None:
    heard: list[str] = []

    async def ask(made: Reach) -> None:
        async with await connected(made) as stream:
            heard.append(await answer(stream))

    async with started(cells) as engine:
        await engine.reach.listeners()
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(ask, engine.reach)
    assert heard == [WORD] * 100


@BOTH
async def test_the_engines_death_refuses_what_connects_at_once(cells: bool) -> None:
    async with started(cells) as engine:
        await engine.reach.listeners()
        await (await connected(engine.reach)).aclose()
        engine.process.signal_group(signal.SIGKILL)
        with trio.fail_after(2):
            while True:
                try:
                    stream = await engine.reach.connect()
                except OSError:
                    break
                await stream.aclose()
            await engine.ended.wait()
            for _ in range(3):
                with pytest.raises(OSError, match=r"."):
                    await engine.reach.connect()


@BOTH
async def test_an_engine_that_ends_before_it_listens_is_an_error(cells: bool) -> None:
    fails = Confinement(control_group="/nonexistent")
    async with started(cells, 2, fails) as engine, trio.open_nursery() as other:
        other.start_soon(expect_refused, engine.reach)
        await engine.ended.wait()
        with suppress(OSError), trio.fail_after(1):
            for listener in await engine.reach.listeners():
                await listener.aclose()
        await expect_refused(engine.reach)
    assert "the sandbox failed" in engine.lines[0]


async def expect_refused(made: Reach) -> None:
    with trio.fail_after(10), pytest.raises(OSError, match=r"."):
        await made.connect()


@BOTH
async def test_a_reach_that_is_closed_connects_no_more(cells: bool) -> None:
    async with started(cells) as engine:
        await engine.reach.listeners()
        await (await connected(engine.reach)).aclose()
        engine.reach.close()
        await expect_refused(engine.reach)


@BOTH
async def test_starts_leave_no_descriptor(cells: bool) -> None:
    async def start() -> None:
        async with started(cells, listeners=3) as engine:
            listeners = await engine.reach.listeners()
            await (await connected(engine.reach)).aclose()
            for listener in listeners:
                await listener.aclose()

    await start()
    before = descriptors()
    for _ in range(STARTS):
        await start()
    assert descriptors() == before


@BOTH
async def test_a_connection_that_is_cancelled_anywhere_spoils_no_other(cells: bool) -> None:
    async def connect(made: Reach, scope: trio.CancelScope) -> None:
        with scope:
            await (await made.connect()).aclose()

    async with started(cells) as engine:
        await engine.reach.listeners()
        await (await connected(engine.reach)).aclose()
        before = descriptors()
        for checkpoints in range(40):
            async with trio.open_nursery() as nursery:
                scope = trio.CancelScope()
                nursery.start_soon(connect, engine.reach, scope)
                for _ in range(checkpoints):
                    await trio.lowlevel.checkpoint()
                scope.cancel()
            async with await engine.reach.connect() as stream:
                assert await answer(stream) == WORD
        assert descriptors() == before


# --- who else is kept out


@LINUX
@BOTH
async def test_in_a_cell_no_port_of_the_engine_is_on_the_machine(cells: bool) -> None:
    async with started(cells, listeners=2) as engine:
        listeners = await engine.reach.listeners()
        await (await connected(engine.reach)).aclose()
        own = (engine.reach.host, engine.reach.port)
        assert len(listening()) == (0 if cells else 3)
        assert ((await heard([own]))[own] == WORD.encode()) == (not cells)
        for listener in listeners:
            await listener.aclose()


def test_on_loopback_no_listener_has_the_engines_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks the system for any free port may be given the one that was free a moment ago."""
    given = 0

    def free_port(host: str) -> int:
        nonlocal given
        given = rpc_port.free_port(host)
        return given

    def create_server(address: tuple[str, int], **options: Any) -> socket.socket:
        return CREATE_SERVER((address[0], given), **options)

    monkeypatch.setattr(module, "free_port", free_port)
    monkeypatch.setattr(socket, "create_server", create_server)
    made = Loopback(Confinement(), listeners=1)
    made.close()
    assert made.endpoints != [f"{made.host}:{made.port}"]


@LINUX
async def test_on_loopback_a_listener_takes_the_engine_alone() -> None:
    async with started(False, listeners=1) as engine:
        (listener,) = await engine.reach.listeners()
        (endpoint,) = engine.reach.endpoints
        accepted = []

        async def accept() -> None:
            while True:
                stream = await listener.accept()
                async with stream:
                    accepted.append(await stream.receive_some(9))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(accept)
            host, _, port = endpoint.partition(":")
            for _ in range(3):
                assert await heard([(host, int(port))]) == {(host, int(port)): b""}
            await until(lambda: accepted != [])
            nursery.cancel_scope.cancel()
        await listener.aclose()
    assert accepted == [b"0"]


@LINUX
async def test_on_loopback_whoever_took_the_engines_port_is_not_taken_for_it() -> None:
    made = Loopback(Confinement())
    made.started(os.getppid())
    with socket.create_server((made.host, made.port)) as impostor:
        with pytest.raises(ConnectionRefusedError):
            await made.connect()
        accepted, _ = impostor.accept()
        with accepted:
            assert accepted.recv(100) == b""
    made.close()


# --- a broker that is played


@contextmanager
def played() -> Iterator[tuple[Cell, socket.socket]]:
    """A cell, and its broker's end of the line."""
    cell = Cell(Confinement())
    with socket.socket(fileno=os.dup(cell.descriptors[0])) as line:
        cell.started(0)
        line.settimeout(5)
        try:
            yield cell, line
        finally:
            cell.close()


def hand_out(line: socket.socket, count: int) -> None:
    with ExitStack() as stack:
        made = [stack.enter_context(socket.socket()) for _ in range(count)]
        socket.send_fds(line, [b"+"], [one.fileno() for one in made])


@LINUX
async def test_a_cell_whose_broker_says_nothing_refuses_in_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with played() as (cell, line):
        with trio.fail_after(module.BROKER_SECONDS + 1), pytest.raises(TimeoutError):
            await cell.connect()
        hand_out(line, 0)
        assert await cell.listeners() == []
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(expect_refused, cell)
        assert trio.current_time() - began <= module.BROKER_SECONDS


@LINUX
async def test_a_cell_that_never_makes_its_listeners_ends_in_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with played() as (cell, line):
        with pytest.raises(TimeoutError):
            await cell.listeners()
        with suppress(OSError):
            hand_out(line, 1)
        await expect_refused(cell)


@LINUX
async def test_whoever_waits_for_a_cell_is_refused_when_it_is_closed() -> None:
    for is_made in (False, True):
        with played() as (cell, line):
            if is_made:
                hand_out(line, 0)
                await cell.listeners()
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(expect_refused, cell)
                await trio.testing.wait_all_tasks_blocked()
                cell.close()


@LINUX
@pytest.mark.parametrize("count", [0, 2, 3, 9])
async def test_an_answer_of_fewer_or_more_sockets_is_refused_and_leaves_none(count: int) -> None:
    with played() as (cell, line):
        hand_out(line, 0)
        await cell.listeners()
        before = descriptors()
        hand_out(line, count)
        with pytest.raises(ConnectionRefusedError):
            await cell.connect()
        assert descriptors() == before
        assert line.recv(9) == b"?"
        hand_out(line, 1)
        with pytest.raises(ConnectionRefusedError, match="111"):  # by a socket: nothing listens there
            await cell.connect()
        assert line.recv(9) == b"?", "it asks anew"


@LINUX
async def test_questions_that_are_cancelled_leave_one_answer_at_most() -> None:
    with played() as (cell, line):
        hand_out(line, 0)
        await cell.listeners()
        for _ in range(300):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(cell.connect)
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
        assert line.recv(1000) == b"?"
        hand_out(line, 1)
        with pytest.raises(ConnectionRefusedError, match="111"):  # by a socket: nothing listens there
            await cell.connect()
