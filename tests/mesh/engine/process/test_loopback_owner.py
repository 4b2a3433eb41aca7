import os
import socket
import sys

import pytest

from mesh.engine.process.loopback_owner import ANYBODY, belongs_to
from tests.mesh.engine.process.processes import start_python

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="other kernels do not tell")


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
    assert not belongs_to(child.pid, ("127.0.0.1", 1), ANYBODY)
