"""HTTP at the gateway, and what llama-server, tailscaled and the network's announcements say."""

import json
import logging
from contextlib import suppress
from typing import Any, cast

import trio
import zeroconf
from trio.testing import MockClock

from leader.llama.local_http import parse_answer
from mesh.gateway.access import is_authorized, refused_host, refused_origin, refused_site
from mesh.gateway.connection import BadRequest, Connection, HttpExchange
from mesh.gateway.headers import forwarded_headers, request_headers
from mesh.gateway.replies import reply
from mesh.gateway.resuming.dialects import is_preliminary, parse_event, read_piece
from mesh.gateway.resuming.request import DIALECTS, Dialect, read_request
from mesh.gateway.sse import EventFramer, EventSplitter
from mesh.net.discovery.mdns import SERVICE_TYPE, read_announcement
from mesh.net.discovery.tailnet import parse_interface, parse_status, parse_whois
from mesh.wire.identity import id_text
from tests.fuzz.harness import Harness
from tests.fuzz.tape import Tape


class Client(Tape):
    """A client that says what is on the tape and then waits for its answers."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        data = await super().receive_some(max_bytes)
        if not data:
            await trio.sleep_forever()
        return data


class Surprises(logging.Handler):
    """Makes an error out of what the gateway would only have logged as one."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            self.seen = record.exc_info[1]

    seen: BaseException | None = None


class Http:
    """A connection's requests, answered by a handler that judges headers and reads the body."""

    def __init__(self) -> None:
        self._surprises = Surprises(logging.ERROR)
        logger = logging.getLogger("mesh.gateway.connection")
        logger.addHandler(self._surprises)
        logger.propagate = False

    async def _handle(self, exchange: HttpExchange) -> None:
        request = exchange.request
        host = request.header(b"host")
        refused_host(host, request.local)
        refused_origin(request.header(b"origin"), host)
        refused_site(request.header(b"sec-fetch-site"), request.path, request.header(b"sec-fetch-mode"))
        assert not is_authorized(request.headers, "a key that is not in any corpus")
        names = {name for name, _ in [*forwarded_headers(request), *request_headers(request)]}
        assert not names & {b"authorization", b"connection", b"upgrade", b"x-api-key", b"cookie"}
        assert not names >= {b"content-length", b"transfer-encoding"}
        body = bytearray()
        try:
            while piece := await exchange.receive_body():
                body += piece
        except BadRequest as error:
            await exchange.reply(error.reply)
            return
        if asked := read_request(request.path, bytes(body)):
            assert asked.first()["stream"] is True
        await exchange.reply(reply(200, "text/plain", b"%d" % len(body)))

    def __call__(self, data: bytes) -> None:
        self._surprises.seen = None
        client = Client(data, 1 + len(data) // 2)
        connection = Connection(cast(Any, client), self._handle, "127.0.0.1")
        trio.run(connection.run, clock=MockClock(autojump_threshold=0))
        if self._surprises.seen is not None:
            raise self._surprises.seen
        assert not client.sent or client.sent.startswith(b"HTTP/1.1 ")


def _http() -> list[bytes]:
    chat = b'{"messages": [{"role": "user", "content": "hi"}], "stream": true}'
    head = b"host: localhost\r\norigin: http://localhost\r\nauthorization: Bearer no\r\n"
    post = b"POST /v1/chat/completions HTTP/1.1\r\n" + head
    return [
        b"GET /status?a=1 HTTP/1.1\r\nhost: 127.0.0.1:50080\r\nsec-fetch-site: none\r\n\r\n",
        b"HEAD / HTTP/1.0\r\n\r\n",
        post + b"content-length: %d\r\n\r\n" % len(chat) + chat,
        post
        + b"transfer-encoding: chunked\r\nconnection: close, x\r\n\r\n%x\r\n" % len(chat)
        + chat
        + b"\r\n0\r\n\r\n",
        post + b"x-api-key: no\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        post + b"expect: 100-continue\r\ncontent-length: 2\r\n\r\n{}",
        b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n" * 2,
    ]


def asked(data: bytes) -> None:
    """The body of a request for an answer; the first byte chooses where it is sent."""
    paths = sorted(DIALECTS)
    if data and (read := read_request(paths[data[0] % len(paths)], data[1:])):
        assert read.limit is None or read.limit >= 0
        assert read.wants_usage in (True, False)
        json.dumps(read.first())


def _bodies() -> list[bytes]:
    bodies = [
        {"prompt": "a", "n_predict": 5, "stream": True, "temperature": 0, "seed": 1},
        {"prompt": [1, "a", 2], "max_tokens": 3, "n": 1},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}], "tools": [{}]},
        {"messages": [{"content": None}], "response_format": {"type": "text"}, "stream_options": {}},
    ]
    return [bytes([number]) + json.dumps(body).encode() for number in range(5) for body in bodies]


def events(data: bytes) -> None:
    """Server-sent events: wherever the stream is cut, the same bytes in the same events."""
    step = 1 + data[0] if data else 1
    pieces = [data[at : at + step] for at in range(0, len(data), step)]
    framer, splitter = EventFramer(), EventSplitter()
    framed = b"".join(map(framer.feed, pieces))
    split = [event for piece in pieces for event in splitter.feed(piece)]
    assert framed == b"".join(split)
    assert framed + framer.rest() == data
    for event in split:
        if value := parse_event(event):
            for dialect in Dialect:
                with suppress(LookupError, TypeError, ValueError, AttributeError):
                    is_preliminary(dialect, value)
                    read_piece(dialect, value)


def _events() -> list[bytes]:
    native = {"content": "a", "tokens": [1], "tokens_predicted": 1, "stop": False}
    told = {"content": [{"id": 1, "bytes": [97]}]}
    choice = {"index": 0, "delta": {"content": "a"}, "logprobs": told, "finish_reason": None}
    values = [
        native,
        {"choices": [{"text": "a", "finish_reason": None}], "__verbose": native},
        {"choices": [choice], "timings": {"predicted_n": 1}},
        {"choices": [{"delta": {"role": "assistant", "content": None}}], "prompt_progress": {}},
    ]
    return [
        b"\7data: " + b"\n\ndata: ".join(json.dumps(value).encode() for value in values) + b"\r\n\r\n",
        b": a comment\n\ndata: [DONE]\r\rdata: {}\n\n",
    ]


def llama(data: bytes) -> None:
    """An answer of llama-server's to its watchdog."""
    with suppress(trio.BrokenResourceError):
        status, body = parse_answer(data)
        assert 0 <= status < 1000
        assert data.endswith(body)


def tailscaled(data: bytes) -> None:
    """Any JSON is a status and a whois, if mostly an empty one."""
    with suppress(ValueError, RecursionError):
        value = json.loads(data)
        assert len(parse_status(value).peers) <= 4096
        parse_whois(value)
        parse_interface(value)


def _tailscaled() -> list[bytes]:
    peer = {"HostName": "bert", "DNSName": "bert.ts.net.", "TailscaleIPs": ["100.64.0.2"], "UserID": 1}
    status = {"BackendState": "Running", "Self": peer, "Peer": {"key": {**peer, "Online": True}}}
    users = {"1": {"LoginName": "alice@example.com"}}
    whois = {"Node": {"Name": "bert.ts.net.", "Hostinfo": {}}, "UserProfile": users["1"]}
    return [json.dumps(value).encode() for value in ({**status, "User": users}, whois)]


def announcement(data: bytes) -> None:
    """A TXT record of the local network."""
    info = zeroconf.ServiceInfo(
        SERVICE_TYPE, f"x.{SERVICE_TYPE}", port=50052, properties=data, addresses=[bytes(4), bytes(16)]
    )
    sighting = read_announcement(info)
    if sighting is not None:
        assert max(map(len, (sighting.pool, sighting.node, sighting.name))) <= 63
        assert sighting.speaks is None or 0 <= sighting.speaks.oldest <= sighting.speaks.newest <= 999


def _announcements() -> list[bytes]:
    id = id_text(b"i" * 16)
    texts = [f"pool={id}", f"node={id}", "name=anna", "version=2"]
    later = [*texts[:-1], "version=2-3"]
    return [b"".join(bytes([len(text)]) + text.encode() for text in each) for each in (texts, later)]


HARNESSES = (
    Harness("http", "mesh.gateway.connection, headers, access", Http, _http, 8192),
    Harness("asked", "mesh.gateway.resuming.request", lambda: asked, _bodies, 4096),
    Harness("events", "mesh.gateway.sse, resuming.dialects", lambda: events, _events, 8192),
    Harness(
        "llama", "leader.llama.local_http", lambda: llama, lambda: [b"HTTP/1.0 200 OK\r\na: b\r\n\r\n{}"], 512
    ),
    Harness("tailscaled", "mesh.net.discovery.tailnet", lambda: tailscaled, _tailscaled),
    Harness("announcement", "mesh.net.discovery.mdns", lambda: announcement, _announcements, 1024),
)
