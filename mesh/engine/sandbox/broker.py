"""The end of a cell that makes sockets in it: listeners at its start, unconnected ones whenever asked.

A socket belongs to the network namespace in which it was made, whoever holds it. So the sidecar reaches a
program in a cell by sockets that were made there and handed out (SCM_RIGHTS), and nobody else reaches it.
"""

import os
import socket
from collections.abc import Sequence

BACKLOG = 64


def hand_out_listeners(line: socket.socket, ports: Sequence[int]) -> None:
    """Listen on these ports of the cell's loopback, for the starter: one message with all, in this order."""
    listeners = [socket.create_server(("127.0.0.1", port), backlog=BACKLOG) for port in ports]
    socket.send_fds(line, [b"+"], [listener.fileno() for listener in listeners])
    for listener in listeners:
        listener.close()


def serve(line: socket.socket) -> None:
    """Answer each message with an unconnected socket, until the starter is gone.

    Where the machine has none left, as of open files, the answer is empty: the next one may not be.
    """
    while line.recv(1):
        try:
            with socket.socket() as made:
                socket.send_fds(line, [b"+"], [made.fileno()])
        except OSError:
            line.send(b"-")


def keep_alone(line: socket.socket) -> None:
    """Close every descriptor but this one: the program's output ends when the program does."""
    kept = line.fileno()
    os.closerange(0, kept)
    os.closerange(kept + 1, 1 << 16)
