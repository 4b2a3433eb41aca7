import os
import socket

from mesh.control.socket_peer import user_of


def test_both_ends_of_a_unix_socket_know_whose_the_other_is() -> None:
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        assert user_of(one) == user_of(other) == os.geteuid()
