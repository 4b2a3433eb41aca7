import os
import socket
import struct
import sys

import pytest

from mesh.control.socket_peer import process_of, user_of


def test_both_ends_of_a_unix_socket_know_whose_the_other_is() -> None:
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        assert user_of(one) == user_of(other) == os.geteuid()


def test_both_ends_know_which_process_the_other_is() -> None:
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        assert process_of(one) == process_of(other) == os.getpid()


class Darwin:
    """A socket of macOS, as far as it is asked for its peer."""

    def getsockopt(self, level: int, option: int, length: int, /) -> bytes:
        return {(0, 1, 76): struct.pack("=II", 0, 501).ljust(76), (0, 2, 4): struct.pack("=i", 4711)}[
            level, option, length
        ]


def test_on_macos_user_and_process_are_asked_for_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert (user_of(Darwin()), process_of(Darwin())) == (501, 4711)
