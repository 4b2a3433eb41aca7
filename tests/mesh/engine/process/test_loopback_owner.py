import os
import socket
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.engine.process.loopback_owner import ANYBODY, Address, belongs_to, holds, inode_in
from tests.mesh.engine.process.processes import start_python

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="other kernels do not tell")

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
LISTENS = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1\n"
CLIENTS = "   1: 0100007F:9C40 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1000        0 222 1\n"
SERVERS = "   2: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 333 1\n"
ENDED = "   3: 0100007F:9C41 0100007F:1F90 06 00000000:00000000 03:00001770 00000000     0        0 0 3\n"
TABLE = [HEADER, LISTENS, CLIENTS, SERVERS, ENDED]
SERVER, CLIENT, GONE = ("127.0.0.1", 8080), ("127.0.0.1", 40000), ("127.0.0.1", 40001)


@pytest.mark.skipif(sys.byteorder != "little", reason="the lines are a little-endian machine's")
@pytest.mark.parametrize(
    ("local", "remote", "inode"),
    [
        (CLIENT, SERVER, 222),
        (SERVER, CLIENT, 333),
        (SERVER, ANYBODY, 111),
        (CLIENT, ANYBODY, None),
        (GONE, SERVER, None),
        (CLIENT, GONE, None),
    ],
)
def test_each_end_of_a_connection_has_its_inode(local: Address, remote: Address, inode: int | None) -> None:
    assert inode_in(TABLE, local, remote) == inode


@given(st.lists(st.text(st.characters(codec="ascii"))))
def test_a_table_of_anything_is_read(lines: list[str]) -> None:
    assert inode_in(lines, CLIENT, SERVER) is None


@LINUX
def test_both_ends_of_a_connection_of_ours_are_ours() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert belongs_to(os.getpid(), server.getsockname(), ANYBODY)
        with socket.create_connection(server.getsockname()) as client:
            accepted, _ = server.accept()
            with accepted:
                ends = client.getsockname(), accepted.getsockname()
                assert belongs_to(os.getpid(), *ends)
                assert belongs_to(os.getpid(), *reversed(ends))
        assert not belongs_to(os.getpid(), *ends), "it is closed"


@LINUX
def test_a_connection_of_another_process_is_not_ours() -> None:
    connects = "import socket, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1]))); s.recv(1)"
    with socket.create_server(("127.0.0.1", 0)) as server:
        child = start_python(connects, str(server.getsockname()[1]))
        assert child.stdout is not None
        with child, child.stdout:
            accepted, theirs = server.accept()
            with accepted:
                assert belongs_to(child.pid, theirs, accepted.getsockname())
                assert not belongs_to(os.getpid(), theirs, accepted.getsockname())


@LINUX
def test_a_process_that_is_gone_holds_nothing() -> None:
    child = start_python("")
    assert child.stdout is not None
    with child, child.stdout:
        child.wait()
    assert not holds(child.pid, 1)
