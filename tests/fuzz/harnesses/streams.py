"""What comes over a TLS stream before and after it is known what it is for, and rpc-server's first words."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, cast

import msgpack

from leader.llama.tunnels import pass_gate
from mesh.net.gossip_streams import StreamMessages
from mesh.net.session import (
    MESSAGE_LIMIT,
    StreamError,
    StreamRefused,
    TlsStream,
    Unreachable,
    receive_message,
)
from mesh.net.stream_kinds import StreamKind
from mesh.net.streams import Handler, Streams, _present
from mesh.net.versions_preface import MAX_BUILD, ProgramVersion, program_in_preface
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import DecodeError, MeshError
from mesh.wire.identity import Identity, NodeId, PoolId, id_text
from mesh.wire.versions import SPOKEN, Versions
from tests.fuzz.harness import Harness
from tests.fuzz.tape import Tape, framed, in_frame, run_through
from worker.greeting import CAPABILITIES, HELLO, blank_reply, blank_request

ME = Identity.from_seed(b"1" * 32)
MEMBER = Identity.from_seed(b"2" * 32)
STRANGER = Identity.from_seed(b"3" * 32)
PROGRAM = ProgramVersion(SPOKEN, "0.5.0+abcd")
POOL = PoolId(b"p" * 16)
THERE = Endpoint("10.0.0.2", 50052)
HERE = Endpoint("10.0.0.1", 50052)


def tls(tape: Tape) -> TlsStream:
    """A tape in the place of a TLS stream."""
    return cast(TlsStream, tape)


class Talk:
    """A session whose peer says what is on a tape."""

    def __init__(self, tape: Tape, arguments: Mapping[str, Any] | None = None) -> None:
        self._tape = tape
        self.arguments = dict(arguments or {})
        self.local, self.remote = HERE, THERE
        self.peer, self.peer_key = MEMBER.id, MEMBER.public_key
        self.sent: list[Any] = []

    async def send_message(self, message: Any) -> None:
        self.sent.append(message)

    async def receive_message(self, limit: int = MESSAGE_LIMIT) -> Any:
        return await receive_message(tls(self._tape), limit)

    async def unwrap(self) -> Any:
        return self

    def sealed(self) -> Any:
        return self

    async def aclose(self) -> None:
        """Nothing is open."""


def frame(data: bytes) -> None:
    """Framed messages one after the other, to the end of the stream."""
    tape = Tape(data, piece=1 + len(data) // 3)
    with suppress(DecodeError, StreamError):
        while True:
            run_through(receive_message(tls(tape), MESSAGE_LIMIT))


# --- the preface, and the answer to it


async def _nothing(session: Any) -> None:
    """A handler whose work is not looked at."""


class Preface:
    """The server's side: who opens it is chosen by the first byte, the rest is the preface's frame."""

    def __init__(self) -> None:
        self._streams = Streams(ME)
        self._streams.pool = POOL
        self._streams.trust({MEMBER.id: MEMBER.public_key})
        self._handlers: dict[str, Handler] = dict.fromkeys(("admit", "gossip", "api"), _nothing)

    def __call__(self, data: bytes) -> None:
        who = (None, MEMBER, STRANGER)[data[0] % 3] if data else None
        peer, key = (None, None) if who is None else (who.id, who.public_key)
        with suppress(DecodeError, StreamError):
            preface = run_through(receive_message(tls(Tape(in_frame(data[1:]))), MESSAGE_LIMIT))
            kind, arguments = self._streams._judge(preface, peer, key, THERE, self._handlers)
            assert kind in self._handlers or kind == StreamKind.PROBE
            assert who is not STRANGER
            assert who is MEMBER or kind == "admit"
            assert isinstance(arguments, dict)
            theirs = program_in_preface(preface)
            assert theirs is not None
            assert SPOKEN.common(theirs.speaks) is not None
            if who is MEMBER:
                assert preface["pool"] == id_text(POOL)
        check_noted(self._streams)


def _prefaces() -> list[bytes]:
    good = {**PROGRAM.preface(), "pool": id_text(POOL), "kind": "gossip", "arguments": {"term": 1}}
    bare = {key: value for key, value in good.items() if key != "speaks"}
    others: list[dict[str, Any]] = [
        {},
        {"kind": "admit"},
        {"kind": StreamKind.PROBE},
        {"wire": SPOKEN.newest + 1},
        {"speaks": [SPOKEN.newest + 1, SPOKEN.newest + 2]},
        {"build": "x" * (MAX_BUILD + 1)},
        {"wire": SPOKEN.newest, "speaks": [SPOKEN.newest, SPOKEN.newest + 1], "build": "later"},
        {"speaks": [3, 2]},
        {"speaks": [2, 3, 4]},
        {"speaks": "23"},
        {"arguments": []},
    ]
    said = [bare, *({**good, **other} for other in others)]
    return [bytes([who]) + msgpack.packb(each) for who in (0, 1, 2) for each in said]


def check_noted(streams: Streams) -> None:
    """What is noted of programs is of members alone, and bounded."""
    for member, program in streams.versions.items():
        assert member == MEMBER.id
        assert 0 <= program.speaks.oldest <= program.speaks.newest <= 255
        assert len(program.build.encode()) <= MAX_BUILD


class Reply:
    """The client's side: what a server, a member or not, answers to a preface."""

    def __init__(self) -> None:
        self._streams = Streams(ME)
        self._streams.trust({MEMBER.id: MEMBER.public_key})

    def __call__(self, data: bytes) -> None:
        who = (MEMBER, STRANGER)[len(data) % 2]
        with suppress(Unreachable):
            answer = run_through(_present(tls(Tape(in_frame(data))), {"kind": "gossip"}, THERE))
            refusal: StreamRefused | None = None
            try:
                self._streams._judge_answer(answer, who.id, who.public_key, THERE)
            except StreamRefused as refused:
                refusal = refused
            if refusal is None:
                assert not isinstance(answer.get("error"), dict)
            else:
                assert (refusal.peer, len(refusal.message) <= 500) == (who.id, True)
        check_noted(self._streams)


def _replies() -> list[bytes]:
    refusal = {"code": "busy", "message": "that node has too many streams open", "hint": "try again"}
    other = {
        "code": "wire_version",
        "message": "this node speaks wire version 2",
        "hint": "upgrade the older",
    }
    answers: list[dict[str, Any]] = [
        {"ok": True},
        {"error": refusal},
        {"error": other},
        {"error": {"code": [1]}},
    ]
    later = ProgramVersion(Versions(SPOKEN.newest + 1, SPOKEN.newest + 2), "0.9.0")
    programs: tuple[dict[str, Any], ...] = ({}, PROGRAM.answer(), later.answer(), {"speaks": [1]})
    return [msgpack.packb({**each, **said}) for each in answers for said in programs]


# --- handlers that read on


class Gossip:
    """Protocol messages over a stream."""

    def __init__(self) -> None:
        self._messages = StreamMessages(Streams(ME), self._on_message, lambda peer: None)

    def _on_message(self, peer: NodeId, payload: bytes) -> None:
        assert type(payload) is bytes

    def __call__(self, data: bytes) -> None:
        with suppress(StreamError, DecodeError):
            run_through(self._messages.handle(cast(Any, Talk(Tape(data)))))


async def _trusted(local: Endpoint, remote: Endpoint) -> bool:
    return True


def gate_word(data: bytes) -> None:
    """What a worker's gate says to a leader before the tunnel opens."""
    with suppress(MeshError):
        talk = Talk(Tape(in_frame(data)))
        assert run_through(pass_gate(cast(Any, talk), _trusted)).session is cast(Any, talk)


def _gate_words() -> list[bytes]:
    ends = [str(THERE), str(HERE)]
    refusal = {"ok": False, "reason": "this worker is leased to nobody"}
    return [msgpack.packb(each) for each in ({"ok": True}, {"ok": True, "ends": ends}, refusal)]


# --- rpc-server's protocol


class Wire:
    """An end of a bridge that is played from bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)

    def receive(self, limit: int = 65536) -> memoryview:
        part, self._data = self._data[: min(limit, 7)], self._data[min(limit, 7) :]
        return part


def hello(data: bytes) -> None:
    """HELLO and its answer: passed on blanked, or not at all."""
    for blank, head in ((blank_request, 9), (blank_reply, 8 + 4)):
        with suppress(ValueError):
            passed = blank(cast(Any, Wire(data)))
            assert passed in (b"", data[:head] + bytes(CAPABILITIES))


def _hellos() -> list[bytes]:
    capabilities = bytes(range(CAPABILITIES))
    request = bytes([HELLO]) + CAPABILITIES.to_bytes(8, "little") + capabilities
    answer = (4 + CAPABILITIES).to_bytes(8, "little") + b"\4\0\0\0" + capabilities
    return [request, answer, request + b"\1" * 9, answer[:-1]]


HARNESSES = (
    Harness("frame", "mesh.net.session", lambda: frame, lambda: [framed({"ok": True}, [1, b"2"]), framed(1)]),
    Harness("preface", "mesh.net.streams, by the server", Preface, _prefaces),
    Harness("reply", "mesh.net.streams, by the client", Reply, _replies),
    Harness("gossip", "mesh.net.gossip_streams", Gossip, lambda: [framed(b"message", b""), framed("x")]),
    Harness("gate", "leader.llama.tunnels, mesh.net.link", lambda: gate_word, _gate_words),
    Harness("hello", "worker.greeting", lambda: hello, _hellos, 128),
)
