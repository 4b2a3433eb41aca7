"""A program around kinship's Cluster that answers the benchmark over a unix socket.

    python kinship_agent.py SOCKET NAME ADDRESS:PORT

One request a connection, in the form of `mesh.control.control_client`: ``{"op": "view" | "join", "args":
{...}}``.
"""

import base64
import contextlib
import importlib
import json
import socket
import sys
from typing import Any

KEY = base64.b64encode(bytes(32)).decode()
"""Everybody's: it costs what encryption costs, and hides nothing."""


class Agent:
    """The cluster begins with the first ``join``; without seeds it is a pool of its own."""

    def __init__(self, name: str, bind: str) -> None:
        self._kinship: Any = importlib.import_module("kinship")
        self._blocking: Any = importlib.import_module("kinship.blocking")
        self._name, self._bind = name, bind
        self._cluster: Any = None
        self._seen: set[str] = set()

    def answer(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if operation == "join":
            config = self._kinship.Config.lan(
                name=self._name, bind=self._bind, keys=[KEY], seeds=arguments["seeds"]
            )
            self._cluster = self._blocking.Cluster(config).start()
        if self._cluster is None:
            return {}
        # The list forgets the dead; they are asked for by name.
        self._seen.update(member.name for member in self._cluster.members())
        found = {name: self._cluster.member(name) for name in self._seen}
        return {name: member.state.name.lower() for name, member in found.items() if member is not None}


def serve(path: str, agent: Agent) -> None:
    """Answers until killed."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        while True:
            connection, _ = listener.accept()
            with contextlib.suppress(OSError), connection, connection.makefile("rb") as lines:
                request = json.loads(lines.readline())
                reply = {"result": agent.answer(request["op"], request["args"])}
                connection.sendall(json.dumps(reply).encode() + b"\n")


if __name__ == "__main__":
    serve(sys.argv[1], Agent(sys.argv[2], sys.argv[3]))
