"""A gateway that sends what a test wrote: for streams that no real one sends at will."""

import json
import socket
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any

Part = bytes | threading.Event
"""Bytes to send, or what to wait for before more is sent."""
LIMIT = 20.0


def head(status: str = "200 OK", *headers: str, kind: str = "text/event-stream") -> bytes:
    """The head of an answer that its connection's end ends."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def chunk(text: str = "", *, thought: str = "", finish: str | None = None) -> bytes:
    """An event with a piece of a chat's answer."""
    delta = {key: value for key, value in (("content", text), ("reasoning_content", thought)) if value}
    return event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def event(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def usage(tokens: int) -> bytes:
    return event({"choices": [], "usage": {"completion_tokens": tokens}})


def refused(status: str, code: str, message: str, *headers: str) -> list[Part]:
    """A whole error of OpenAI's shape."""
    body = json.dumps({"error": {"message": message, "code": code}}).encode()
    return [head(status, *headers, kind="application/json") + body]


DONE = b"data: [DONE]\n\n"


def whole(*texts: str) -> list[Part]:
    """A whole answer in pieces."""
    return [head(), *map(chunk, texts), chunk(finish="stop"), usage(len(texts)), DONE]


class ScriptedGateway:
    """Answers each connection by the next of its answers; ``asked`` are the requests' bodies."""

    def __init__(self, *answers: Sequence[Part]) -> None:
        self._answers = list(answers)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(LIMIT)
        self._thread = threading.Thread(target=self._serve)
        self.asked: list[dict[str, Any]] = []
        self.hung_up = threading.Event()
        """Set when a client has gone before its answer's end."""

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def __enter__(self) -> "ScriptedGateway":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(LIMIT)
        self._listener.close()

    def _serve(self) -> None:
        for answer in self._answers:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(LIMIT)
                self._read(connection)
                try:
                    for part in answer:
                        if isinstance(part, bytes):
                            connection.sendall(part)
                        else:
                            self._wait(connection, part)
                except OSError:
                    self.hung_up.set()

    def _wait(self, connection: socket.socket, until: threading.Event) -> None:
        """Wait for the event, or for the client to go."""
        connection.settimeout(0.05)
        for _ in range(int(LIMIT / 0.05)):
            if until.is_set():
                break
            try:
                if not connection.recv(1):
                    raise ConnectionResetError
            except TimeoutError:
                continue
        connection.settimeout(LIMIT)

    def _read(self, connection: socket.socket) -> None:
        received = b""
        while b"\r\n\r\n" not in received:
            received += connection.recv(65536)
        top, _, body = received.partition(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in top.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        )
        while len(body) < length:
            body += connection.recv(65536)
        self.asked.append(json.loads(body))
