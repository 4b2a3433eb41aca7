"""The part of serf's agent RPC that the benchmark needs: handshake, members, join.

A request is two msgpack objects, a header ``{"Command", "Seq"}`` and, where the command has one, a body. An
answer is a header ``{"Seq", "Error"}`` and, where the command has one, a body. After an error serf may or may
not send the body and may close, so the connection ends with the first error. Source:
https://github.com/hashicorp/serf/blob/master/docs/agent/rpc.html.markdown
"""

import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgpack

from tests.benchmarks.systems import AgentError

VERSION = 1
LONGEST_ANSWER = 16 * 1024 * 1024
"""Bytes; a list of ten thousand members has some 3 MiB."""
_WITH_BODY = frozenset({"members", "join"})


class RpcError(AgentError):
    """serf refused a request, or its answer makes no sense."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``body`` is empty for a command that has none."""

    sequence: int
    body: Mapping[str, Any]


class Codec:
    """Requests to bytes, bytes to answers; does no I/O. ``receive`` raises RpcError, which ends its use."""

    def __init__(self) -> None:
        self._sequence = 0
        self._awaited: dict[int, str] = {}
        self._header: dict[str, Any] | None = None
        # Addresses are raw bytes among the texts: all of it is taken as bytes.
        self._unpacker = msgpack.Unpacker(raw=True, strict_map_key=False, max_buffer_size=LONGEST_ANSWER)

    def request(self, command: str, body: Mapping[str, Any] | None = None) -> bytes:
        """The bytes of a request; its sequence number is the count of requests so far."""
        self._sequence += 1
        self._awaited[self._sequence] = command
        # serf's Go library of that age knows only the raw type of msgpack's first specification.
        packed: bytes = msgpack.packb({"Command": command, "Seq": self._sequence}, use_bin_type=False)
        if body is not None:
            packed += msgpack.packb(body, use_bin_type=False)
        return packed

    def receive(self, data: bytes) -> Iterator[Answer]:
        """The answers that the bytes so far complete."""
        try:
            self._unpacker.feed(data)
            for part in self._unpacker:
                answer = self._take(part)
                if answer is not None:
                    yield answer
        except (ValueError, KeyError, msgpack.UnpackException, msgpack.BufferFull) as error:
            raise RpcError(f"serf's answer makes no sense: {error!r}") from error

    def _take(self, part: Any) -> Answer | None:
        if not isinstance(part, dict):
            raise ValueError(part)
        if self._header is not None:
            header, self._header = self._header, None
            return Answer(header["Seq"], _text_keys(part))
        header = _text_keys(part)
        command = self._awaited.pop(header["Seq"])
        if header["Error"]:
            raise RpcError(f"serf refused {command}: {header['Error'].decode(errors='replace')}")
        if command in _WITH_BODY:
            self._header = header
            return None
        return Answer(header["Seq"], {})


class Client:
    """A conversation with one agent, a request at a time; blocking, with a limit on every wait."""

    def __init__(self, connection: socket.socket, address: tuple[str, int], seconds: float = 5.0) -> None:
        """Takes over a socket that is not connected yet, so that it may live in another namespace."""
        self._connection = connection
        self._codec = Codec()
        try:
            connection.settimeout(seconds)
            connection.connect(address)
            self._ask("handshake", {"Version": VERSION})
        except BaseException as error:
            connection.close()
            if isinstance(error, OSError):
                raise RpcError(f"serf does not answer: {error}") from error
            raise

    def members(self) -> dict[str, str]:
        """Each member's status by its name: alive, leaving, left or failed."""
        listed = self._ask("members").body["Members"]
        return {member[b"Name"].decode(): member[b"Status"].decode() for member in listed}

    def join(self, addresses: list[str], seconds: float) -> int:
        """How many of the addresses ("HOST:PORT") answered. serf itself waits for all of them."""
        before = self._connection.gettimeout()
        self._connection.settimeout(seconds)
        try:
            return int(self._ask("join", {"Existing": addresses, "Replay": False}).body["Num"])
        finally:
            self._connection.settimeout(before)

    def close(self) -> None:
        self._connection.close()

    def _ask(self, command: str, body: Mapping[str, Any] | None = None) -> Answer:
        try:
            self._connection.sendall(self._codec.request(command, body))
            while data := self._connection.recv(65536):
                for answer in self._codec.receive(data):
                    return answer
        except OSError as error:
            raise RpcError(f"serf does not answer: {error}") from error
        raise RpcError("serf closed the connection")


def _text_keys(part: dict[Any, Any]) -> dict[str, Any]:
    return {key.decode() if isinstance(key, bytes) else str(key): value for key, value in part.items()}
