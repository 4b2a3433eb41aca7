"""Datagrams, messages, facts, and the texts that people type or paste."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

from mesh.admission.codes import Code
from mesh.admission.invites import Token
from mesh.protocol.facts.store import FactStore
from mesh.wire import codec, facts, messages, signed_facts
from mesh.wire.endpoint import Endpoint
from mesh.wire.envelope import MAX_BODY, NOBODY, open_envelope, seal
from mesh.wire.errors import DecodeError, MeshError
from mesh.wire.facts import LaterFact, Record, Suspicion
from mesh.wire.identity import SIGNATURE_BYTES, NodeId, PoolId, id_text, parse_id
from mesh.wire.messages import MAX_DATAGRAM, MAX_STREAMED, Message
from mesh.wire.profile import fitted, max_record, profile_codec
from mesh.wire.rights import ALL_RIGHTS, Rights
from mesh.wire.signed_facts import Signed
from mesh.wire.versions import Versions
from tests.fuzz.harness import Harness
from tests.fuzz.tape import swollen
from tests.mesh.wire.test_messages import MESSAGES
from tests.mesh.wire.test_signed_facts import FACTS, GROWN_FACTS, ME, POOL, SIGNER


class Blank:
    """Signs with zeros: what is written anew is compared without its signature."""

    public_key = bytes(32)

    def sign(self, message: bytes) -> bytes:
        return bytes(SIGNATURE_BYTES)


# --- datagrams and messages


def datagram(data: bytes) -> None:
    """An envelope of any version and the message in it: both are written anew as they were."""
    with suppress(DecodeError):
        envelope = open_envelope(data, MAX_DATAGRAM)
        to = NodeId(b"t" * 16) if envelope.addressed else NOBODY
        speaks = Versions(envelope.version, envelope.version)
        again = seal(envelope.pool, envelope.sender, envelope.number, envelope.body, Blank(), to, speaks)
        assert again[:-SIGNATURE_BYTES] == data[:-SIGNATURE_BYTES]
        assert len(envelope.body) <= MAX_BODY
        assert envelope.is_read_by(speaks)
        message(envelope.body)


def message(data: bytes) -> None:
    """A message has one spelling in version 2; from 3 on what a later version appends is left out again."""
    strict = _message(data, 2)
    read = _message(data, 3)
    assert strict in (None, read)
    if read is not None:
        again = messages.encode(read)
        assert again == data if strict is not None else len(again) <= len(data)
        assert _message(again, 3) == read


def _message(data: bytes, version: int) -> Message | None:
    try:
        return messages.decode(data, version=version)
    except DecodeError:
        return None


def streamed(data: bytes) -> None:
    """A message as large as a stream may bring: two bytes for how often a part of it comes, then it."""
    message(swollen(data[2:], int.from_bytes(data[:2], "big"), MAX_STREAMED + 1))


def _streamed() -> list[bytes]:
    bare = [b"\x91" * 8, b"\x92\x09\xdc\xff\xff\xc4\x00", b"\x92\x09\xdd\x00\x01\xc0"]
    said = [messages.encode(each) for each in MESSAGES]
    return [times.to_bytes(2, "big") + each for each in (*said, *bare) for times in (1, 4096, 65535)]


def _datagrams() -> list[bytes]:
    sealed = []
    for number, each in enumerate(_messages()):
        to, speaks = NodeId(b"t" * 16) if number % 2 else NOBODY, Versions(2 + number % 3, 4)
        sealed.append(seal(POOL, ME, number, each, Blank(), to, speaks))
    return sealed


def _messages() -> list[bytes]:
    """Each message, as it is and as a later version may send it."""
    said = [messages.encode(each) for each in MESSAGES]
    grown = [codec.pack([*codec.unpack(each, len(each)), "name", [1, ["later"]]]) for each in said]
    return [*said, *grown]


# --- facts


def fact(data: bytes) -> None:
    """A fact's body, to which a signature is added, as programs of both versions read it."""
    data += bytes(SIGNATURE_BYTES)
    strict, read = _fact(data, 2), _fact(data, 3)
    assert strict in (None, read)
    if read is None:
        return
    assert read.data == data
    assert read.is_closed is (strict is not None)
    assert (len(read.key), len(read.hash)) == (8, facts.HASH_BYTES)
    assert len(read.fact.version) <= 3
    assert not read.proven_by(bytes(32), lambda key, signed, signature: signature != bytes(64))
    said = [read, *EXAMPLES]
    if not isinstance(read.fact, LaterFact):
        again = signed_facts.sign(read.fact, Blank())
        assert again.fact == read.fact
        assert again.data == data if strict is not None else len(again.data) <= len(data)
        said.append(again)
    assert _stored(said) == _stored(said[::-1])


def _fact(data: bytes, version: int) -> Signed[Any] | None:
    try:
        return signed_facts.decode(data, version)
    except DecodeError:
        return None


def _stored(said: list[Signed[Any]]) -> tuple[bytes, ...]:
    """The set hashes of a store that these facts were offered to in this order."""
    store = FactStore(suspectors=3)
    for each in said:
        if isinstance(each.fact, Suspicion):
            store.raise_liveness(each.fact.subject, each.fact.version)
        store.offer(each)
    return (store.summary, *store.bucket_hashes())


EXAMPLES = [signed_facts.sign(each, Blank()) for each in (*FACTS, *GROWN_FACTS)]


def _facts() -> list[bytes]:
    known = [signed_facts.sign(each, SIGNER).data[:-SIGNATURE_BYTES] for each in (*FACTS, *GROWN_FACTS)]
    later = [codec.pack([kind, POOL, ME, [1, 2], b"place", "later", [None]]) for kind in (10, 11, 255)]
    return [*known, *later]


def profile(data: bytes) -> None:
    """A profile as both versions read it; and cut to what a record has room for, it stays as it is."""
    try:
        array = codec.unpack(data, signed_facts.MAX_FACT)
        read = profile_codec(3).load(array)
    except DecodeError:
        return
    assert len(codec.pack(profile_codec(3).dump(read))) <= len(data)
    for version in (2, 3):
        cut, _ = fitted(read, version)
        assert fitted(cut, version) == (cut, [])
        record = signed_facts.sign(Record(POOL, ME, 1, bytes(8), 1, False, cut), Blank(), version)
        assert len(record.data) <= max_record(version)
        assert [model.root for model in cut.models] == [model.root for model in read.models]


def _profiles() -> list[bytes]:
    said = [each.profile for each in (*FACTS, *GROWN_FACTS) if isinstance(each, Record)]
    full = replace(said[1], engine_reason="r" * 120, models=said[1].models * 8, devices=said[1].devices * 8)
    return [codec.pack(profile_codec(version).dump(each)) for each in (*said, full) for version in (2, 3)]


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
        _messages,
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
    Harness("fact", "mesh.wire.signed_facts, versions 2 and 3", lambda: fact, _facts, signed_facts.MAX_FACT),
    Harness("profile", "mesh.wire.profile", lambda: profile, _profiles, signed_facts.MAX_FACT),
    Harness("text", "endpoints, ids, rights, codes, tokens", lambda: text, _texts, 600),
)
