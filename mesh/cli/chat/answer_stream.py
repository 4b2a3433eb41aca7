"""The connection to this node's gateway over which one answer comes.

It is h11 over a plain socket, as a client of more comfort gives a stream up where nothing comes for a moment;
and a pause is what this is about.
"""

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit

import h11

from mesh.cli.chat.answer_events import (
    BROKEN_OFF,
    GATEWAY_GONE,
    AnswerEvent,
    AnswerFinished,
    AnswerReader,
    AskFailed,
    NothingCame,
    StreamOpened,
    read_error,
)

MOMENT: Final = 0.2
"""Seconds without a byte after which `NothingCame` tells so; a Ctrl-C is heard as soon."""
LONGEST_SILENCE: Final = 900.0
"""Seconds without a byte after which there is no more to hope for: a large prompt may take minutes."""
PATIENCE: Final = 300
"""Seconds that the gateway waits for a leader, before an answer and within one."""
MAX_REQUEST: Final = 8 << 20
"""Bytes of a request."""
_CONNECT_LIMIT: Final = 10.0
_SEND_LIMIT: Final = 60.0
_MAX_ERROR: Final = 1 << 16


class AnswerStream:
    """One request at ``api`` (such as ``http://127.0.0.1:50080/v1``) and what comes of it."""

    def __init__(self, api: str, body: Mapping[str, Any]) -> None:
        self._url = urlsplit(api)
        self._body = json.dumps(body).encode()
        self._http = h11.Connection(h11.CLIENT)
        self._socket: socket.socket | None = None

    def close(self) -> None:
        """Hang up, which ends the answer at the leader too. A second call does nothing."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def events(self) -> Iterator[AnswerEvent]:
        """Ask, and yield what comes; the last event is `AnswerFinished`, a count after it, or `AskFailed`."""
        if len(self._body) > MAX_REQUEST:
            yield AskFailed(413, "too_large", f"the conversation is larger than {MAX_REQUEST >> 20} MiB")
            return
        try:
            self._ask()
            yield from self._receive()
        except h11.RemoteProtocolError:
            yield AskFailed(0, GATEWAY_GONE, "the gateway of this machine broke the answer off")
        except OSError as error:
            why = error.strerror or str(error) or type(error).__name__
            yield AskFailed(0, GATEWAY_GONE, f"the gateway of this machine does not answer: {why}")
        finally:
            self.close()

    def _ask(self) -> None:
        host, port = self._url.hostname or "127.0.0.1", self._url.port or 80
        self._socket = socket.create_connection((host, port), timeout=_CONNECT_LIMIT)
        self._socket.settimeout(_SEND_LIMIT)
        headers = [
            ("host", self._url.netloc),
            ("content-type", "application/json"),
            ("accept", "text/event-stream"),
            ("content-length", str(len(self._body))),
            ("x-mesh-patience", str(PATIENCE)),
            ("connection", "close"),
        ]
        path = f"{self._url.path.rstrip('/')}/chat/completions"
        head = self._http.send(h11.Request(method="POST", target=path, headers=headers))
        end = self._http.send(h11.Data(self._body)), self._http.send(h11.EndOfMessage())
        # A gateway that refuses a request early may have said why: look.
        with suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(b"".join(part or b"" for part in (head, *end)))
        self._socket.settimeout(MOMENT)

    def _receive(self) -> Iterator[AnswerEvent]:
        reader, refused, refusal = AnswerReader(), None, b""
        finished = False
        while not isinstance(event := self._http.next_event(), h11.EndOfMessage | h11.ConnectionClosed):
            if event is h11.NEED_DATA:
                yield from self._wait_for_bytes()
            elif isinstance(event, h11.Response):
                refused = None if event.status_code == 200 else event
                if refused is None:
                    yield StreamOpened()
            elif isinstance(event, h11.Data) and refused is not None:
                refusal = (refusal + bytes(event.data))[:_MAX_ERROR]
            elif isinstance(event, h11.Data):
                for one in reader.feed(bytes(event.data)):
                    finished = finished or isinstance(one, AnswerFinished | AskFailed)
                    yield one
                if reader.ended:
                    break
        if refused is not None:
            yield _refusal(refused, refusal)
        elif not finished:
            yield AskFailed(0, BROKEN_OFF, "the answer broke off")

    def _wait_for_bytes(self) -> Iterator[AnswerEvent]:
        """Receive once; tell each moment without a byte."""
        silent = 0.0
        while True:
            assert self._socket is not None
            try:
                self._http.receive_data(self._socket.recv(65536))
                return
            except TimeoutError:
                silent += MOMENT
                if silent > LONGEST_SILENCE:
                    raise TimeoutError(f"silence for {LONGEST_SILENCE / 60:.0f} minutes") from None
            yield NothingCame()


def _refusal(head: h11.Response, content: bytes) -> AskFailed:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        value = content.decode(errors="replace")
    given = dict(head.headers).get(b"retry-after", b"")
    return read_error(head.status_code, value, float(given) if given.isdigit() else None)
