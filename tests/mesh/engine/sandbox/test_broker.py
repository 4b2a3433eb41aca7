"""The cell's end hands out sockets, keeps nothing else open, and ends with its program."""

import errno
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from mesh.engine.process.rpc_port import free_port
from mesh.engine.sandbox import broker, seccomp
from mesh.engine.sandbox.confinement import Confinement
from tests.mesh.engine.sandbox.confined import HAS_CELLS

CELLS = pytest.mark.skipif(not HAS_CELLS, reason="this machine gives no cells")
SECONDS = 20.0


@contextmanager
def line() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The starter's end, and the cell's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(SECONDS)
        yield ours, theirs


@contextmanager
def running(command: list[str], theirs: socket.socket) -> Iterator[subprocess.Popen[bytes]]:
    """A program that inherits the cell's end of the line, which is then its alone."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, pass_fds=[theirs.fileno()]) as program:
        theirs.close()
        try:
            yield program
        finally:
            program.kill()


def received(ours: socket.socket) -> list[socket.socket]:
    """The sockets of one message."""
    said, numbers, _flags, _address = socket.recv_fds(ours, 1, 8)
    assert said == b"+"
    return [socket.socket(fileno=number) for number in numbers]


def test_listeners_come_in_one_message_and_in_order() -> None:
    ports = [free_port() for _ in range(3)]
    with line() as (ours, theirs):
        broker.hand_out_listeners(theirs, ports)
        made = received(ours)
    assert [one.getsockname() for one in made] == [("127.0.0.1", port) for port in ports]
    for one in made:
        with one, socket.create_connection(one.getsockname(), SECONDS):
            one.accept()[0].close()


def test_no_listeners_are_a_message_as_well() -> None:
    with line() as (ours, theirs):
        broker.hand_out_listeners(theirs, [])
        assert received(ours) == []


def test_each_question_is_answered_with_one_socket_until_the_starter_is_gone() -> None:
    with line() as (ours, theirs):
        serving = threading.Thread(target=broker.serve, args=(theirs,))
        serving.start()
        for _ in range(3):
            ours.send(b"?")
            (made,) = received(ours)
            with made, socket.create_server(("127.0.0.1", 0)) as server:
                made.connect(server.getsockname())
        ours.close()
        serving.join(SECONDS)
        assert not serving.is_alive()


def test_a_socket_that_cannot_be_made_is_no_end_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [errno.EMFILE, errno.ENOBUFS]

    def sockets() -> socket.socket:
        if limits:
            raise OSError(limits.pop(), "no more")
        return socket.socket()

    with line() as (ours, theirs):
        monkeypatch.setattr(broker, "socket", SimpleNamespace(socket=sockets, send_fds=socket.send_fds))
        serving = threading.Thread(target=broker.serve, args=(theirs,))
        serving.start()
        for _ in range(2):
            ours.send(b"?")
            assert socket.recv_fds(ours, 1, 8)[:2] == (b"-", [])
        ours.send(b"?")
        (made,) = received(ours)
        made.close()
        ours.close()
        serving.join(SECONDS)
        assert not serving.is_alive()


def test_only_the_line_stays_open() -> None:
    script = (
        "import os, socket, sys\n"
        f"sys.path.insert(0, {os.getcwd()!r})\n"
        "from mesh.engine.sandbox import broker\n"
        "line = socket.socket(fileno=int(sys.argv[1]))\n"
        "broker.keep_alone(line)\n"
        "still = [number for number in range(100) if os.path.lexists(f'/dev/fd/{number}')]\n"
        "line.send(repr([number == line.fileno() for number in still]).encode())\n"
    )
    with line() as (ours, theirs), open(os.devnull) as more:
        inherited = [theirs.fileno(), more.fileno()]
        command = [sys.executable, "-c", script, str(theirs.fileno())]
        subprocess.run(command, pass_fds=inherited, check=True, timeout=SECONDS)
        assert ours.recv(100) == b"[True]"


@CELLS
@pytest.mark.parametrize("device", [False, True])
def test_it_is_filtered_itself_and_ends_with_its_program(device: bool) -> None:
    with line() as (ours, theirs):
        wanted = Confinement(device=device, cell=True, listens=(8080,), line=theirs.fileno())
        command = wanted.command([sys.executable, "-ISc", "input()"])
        with running(command, theirs) as program:
            assert received(ours) == []
            ours.send(b"?")
            for made in received(ours):
                made.close()
            assert program.poll() is None
            (serving,) = psutil.Process(program.pid).children()
            status = Path(f"/proc/{serving.pid}/status").read_text()
            assert ("Seccomp:\t2" in status.splitlines()) == seccomp.available()
            program.communicate(b"\n", SECONDS)
            assert ours.recv(1) == b""


@CELLS
def test_its_sockets_are_of_the_cell_and_reach_its_program_alone() -> None:
    script = (
        "import socket\n"
        "with socket.create_server(('127.0.0.1', 8080)) as server:\n"
        "    print('listens', flush=True)\n"
        "    server.accept()[0].send(b'hello')\n"
    )
    with line() as (ours, theirs):
        wanted = Confinement(cell=True, listens=(8080,), line=theirs.fileno())
        command = wanted.command([sys.executable, "-ISc", script])
        with running(command, theirs) as program:
            assert received(ours) == []
            assert program.stdout is not None
            assert program.stdout.readline() == b"listens\n"
            ours.send(b"?")
            (made,) = received(ours)
            with made:
                made.settimeout(SECONDS)
                made.connect(("127.0.0.1", 8080))
                assert made.recv(10) == b"hello"
            assert program.wait(SECONDS) == 0
