"""Datagrams, messages, facts, and the texts that people type or paste."""

from contextlib import suppress

from mesh.admission.codes import Code
from mesh.admission.invites import Token
from mesh.wire import facts, messages, signed_facts
from mesh.wire.endpoint import Endpoint
from mesh.wire.envelope import MAX_BODY, NOBODY, open_envelope, seal
from mesh.wire.errors import DecodeError, MeshError
from mesh.wire.identity import SIGNATURE_BYTES, NodeId, PoolId, id_text, parse_id
from mesh.wire.messages import MAX_DATAGRAM, MAX_STREAMED
from mesh.wire.rights import ALL_RIGHTS, Rights
from tests.fuzz.harness import Harness
from tests.fuzz.tape import swollen
from tests.mesh.wire.test_messages import MESSAGES
from tests.mesh.wire.test_signed_facts import FACTS, SIGNER


class Blank:
    """Signs with zeros: what is written anew is compared without its signature."""

    public_key = bytes(32)

    def sign(self, message: bytes) -> bytes:
        return bytes(SIGNATURE_BYTES)


# --- datagrams and messages


def datagram(data: bytes) -> None:
    """An envelope and the message in it: both are written anew as they were."""
    with suppress(DecodeError):
        envelope = open_envelope(data, MAX_DATAGRAM)
        to = NodeId(b"t" * 16) if envelope.addressed else NOBODY
        again = seal(envelope.pool, envelope.sender, envelope.number, envelope.body, Blank(), to)
        assert again[:-SIGNATURE_BYTES] == data[:-SIGNATURE_BYTES]
        assert len(envelope.body) <= MAX_BODY
        message(envelope.body)


def message(data: bytes) -> None:
    """A message has one spelling."""
    with suppress(DecodeError):
        assert messages.encode(messages.decode(data)) == data


def streamed(data: bytes) -> None:
    """A message as large as a stream may bring: two bytes for how often a part of it comes, then it."""
    message(swollen(data[2:], int.from_bytes(data[:2], "big"), MAX_STREAMED + 1))


def _streamed() -> list[bytes]:
    bare = [b"\x91" * 8, b"\x92\x09\xdc\xff\xff\xc4\x00", b"\x92\x09\xdd\x00\x01\xc0"]
    said = [messages.encode(each) for each in MESSAGES]
    return [times.to_bytes(2, "big") + each for each in (*said, *bare) for times in (1, 4096, 65535)]


def _datagrams() -> list[bytes]:
    pool, me = PoolId(b"p" * 16), NodeId(b"m" * 16)
    return [
        seal(pool, me, number, messages.encode(each), Blank(), NodeId(b"t" * 16) if number % 2 else NOBODY)
        for number, each in enumerate(MESSAGES)
    ]


# --- facts


def fact(data: bytes) -> None:
    """A fact's body, to which a signature is added: one spelling, and a place among all facts."""
    with suppress(DecodeError):
        signed = signed_facts.decode(data + bytes(SIGNATURE_BYTES))
        assert signed_facts.sign(signed.fact, Blank()).data == signed.data
        assert len(signed.key) == 8
        assert len(signed.hash) == facts.HASH_BYTES
        assert len(signed.fact.version) <= 3
        assert not signed.proven_by(bytes(32), lambda key, signed, signature: signature != bytes(64))


def _facts() -> list[bytes]:
    return [signed_facts.sign(each, SIGNER).data[:-SIGNATURE_BYTES] for each in FACTS]


# --- texts


def _endpoint(text: str) -> None:
    endpoint = Endpoint.parse(text, 50052)
    assert 0 < endpoint.port < 65536
    assert Endpoint.parse(str(endpoint), 1) == endpoint


def _id(text: str) -> None:
    assert id_text(parse_id(text)) == text.strip().lower()


def _rights(text: str) -> None:
    rights = Rights.parse(text)
    assert Rights.parse(",".join(rights.names())) == rights


def _code(text: str) -> None:
    code = Code.parse(text)
    assert Code.parse(str(code)) == code


def _token(text: str) -> None:
    token = Token.parse(text)
    assert Token.parse(token.text()) == token


_TEXTS = (_endpoint, _id, _rights, _code, _token)


def text(data: bytes) -> None:
    """The first byte chooses what the rest is read as."""
    if data:
        with suppress(MeshError):
            _TEXTS[data[0] % len(_TEXTS)](data[1:].decode(errors="surrogateescape"))


def _texts() -> list[bytes]:
    hints = (Endpoint("10.0.0.1", 50052), Endpoint("fd7a::1", 50052))
    token = Token(PoolId(b"p" * 16), NodeId(b"i" * 16), b"s" * 16, hints).text()
    typed = [
        (0, "10.0.0.1"), (0, "10.0.0.1:1"), (0, "[::1]:50052"), (0, "fe80::1%eth0"),
        (1, id_text(b"i" * 16)), (2, ",".join(ALL_RIGHTS.names())), (3, "42-swift-otter-maple"), (4, token),
    ]  # fmt: skip
    return [bytes([number]) + line.encode() for number, line in typed]


HARNESSES = (
    Harness("datagram", "mesh.wire.envelope, messages", lambda: datagram, _datagrams, 1300),
    Harness(
        "message",
        "mesh.wire.messages, codec",
        lambda: message,
        lambda: [messages.encode(m) for m in MESSAGES],
        16384,
    ),
    Harness(
        "streamed",
        "mesh.wire.messages, codec, the largest",
        lambda: streamed,
        _streamed,
        2048,
        milliseconds=1500.0,
        mib=48,
    ),
    Harness("fact", "mesh.wire.facts, profile", lambda: fact, _facts, signed_facts.MAX_FACT),
    Harness("text", "endpoints, ids, rights, codes, tokens", lambda: text, _texts, 600),
)
