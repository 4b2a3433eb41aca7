import contextlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.wire import codec, messages
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import DecodeError
from mesh.wire.identity import NodeId
from mesh.wire.messages import (
    Ack,
    Bodies,
    Buckets,
    Contents,
    Hello,
    LeaseGrant,
    LeaseRefusal,
    LeaseRelease,
    LeaseRequest,
    Message,
    Nack,
    Ping,
    PingRequest,
    Pull,
    Relayed,
    Rumour,
    Rumours,
    Vote,
    VoteRequest,
)
from tests.mesh.wire.any_values import ANY_MESSAGES, ANYTHING

RUMOUR = Rumour(b"k" * 8, (1, 2), b"mark")
MESSAGES: list[Message] = [
    Ping(1, bytes(8), 2, 3),
    Ack(1, bytes(8), 2, 3),
    PingRequest(1, NodeId(bytes(16)), Endpoint("10.0.0.1", 1)),
    Relayed(1, b"datagram"),
    Nack(1),
    Hello(True, bytes(8), (b"a", b"b")),
    Rumours((RUMOUR, RUMOUR)),
    Pull((bytes(8),)),
    Bodies((b"a", b"")),
    Buckets((bytes(8),) * 64),
    Contents((0, 63), (RUMOUR,)),
    VoteRequest(1),
    Vote(1, False, b"claim"),
    LeaseRequest(NodeId(bytes(16)), 1, 7, b"claim", b""),
    LeaseGrant(1, 2),
    LeaseRefusal(1, 5000, b"claim"),
    LeaseRelease(NodeId(bytes(16)), 1, 2),
]

NAMED = LeaseRequest | LeaseGrant | LeaseRefusal | LeaseRelease


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_is_read_as_it_was_written(message: Message) -> None:
    assert messages.decode(messages.encode(message)) == message


def test_every_kind_of_message_has_its_own_number() -> None:
    assert sorted(message.kind for message in MESSAGES) == list(range(1, len(MESSAGES) + 1))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_refused_with_the_one_error(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        messages.decode(data)


@given(st.sampled_from(MESSAGES), st.integers(0, 10**6), st.integers(0, 255))
def test_a_mutated_message_is_read_or_refused_with_the_one_error(
    message: Message, at: int, byte: int
) -> None:
    data = bytearray(messages.encode(message))
    data[at % len(data)] = byte
    with contextlib.suppress(DecodeError):
        messages.decode(bytes(data))


@pytest.mark.parametrize("array", [[], [99], ["1"], [5], [5, -1], [5, "1"], [7, [[1]]]])
def test_what_is_no_message_is_refused(array: list[object]) -> None:
    with pytest.raises(DecodeError):
        messages.decode(codec.pack(array))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_of_version_2_has_the_bytes_that_it_had_in_version_2(message: Message) -> None:
    golden = json.loads(Path(__file__).with_name("version_2.json").read_text())["messages"]
    data = bytes.fromhex(golden[type(message).__name__])
    assert messages.encode(message) == data
    assert messages.decode(data, version=2) == messages.decode(data) == message


@given(ANY_MESSAGES, st.lists(ANYTHING, max_size=5))
def test_a_message_is_read_whatever_a_later_version_appends(message: Message, tail: list[object]) -> None:
    data = messages.encode(message)
    grown = codec.unpack(data, len(data))
    if tail and isinstance(message, NAMED) and not message.name:
        grown.append("")
    grown = codec.pack([*grown, *tail])
    assert messages.decode(grown) == message
    assert messages.encode(messages.decode(grown)) == data
    if tail:
        with pytest.raises(DecodeError):
            messages.decode(grown, version=2)


@given(ANY_MESSAGES)
def test_version_2_reads_each_message_but_those_with_a_name(message: Message) -> None:
    data = messages.encode(message)
    if isinstance(message, NAMED) and message.name:
        with pytest.raises(DecodeError):
            messages.decode(data, version=2)
    else:
        assert messages.decode(data, version=2) == message


@pytest.mark.parametrize("message", [message for message in MESSAGES if isinstance(message, NAMED)])
def test_a_name_beyond_its_bound_is_of_a_later_version(message: Message) -> None:
    named = replace(cast(Any, message), name="n" * 48)
    assert messages.decode(messages.encode(named)) == named
    assert messages.decode(messages.encode(replace(named, name="n" * 49))) == message


@pytest.mark.parametrize(
    "rumour",
    [
        [bytes(8), [1], b"mark", 0],
        [bytes(7), [1], b"mark"],
        ["k" * 8, [1], b"mark"],
        [bytes(8), [1], b"mar"],
        [bytes(8), [1], 1],
        [bytes(8), 1, b"mark"],
        [bytes(8), [1, 2, 3, 4], b"mark"],
        [bytes(8), [-1], b"mark"],
        [bytes(8), [2**63], b"mark"],
        [bytes(8), [True], b"mark"],
        [bytes(8), [1.0], b"mark"],
    ],
)
def test_a_rumour_out_of_shape_is_refused(rumour: list[object]) -> None:
    with pytest.raises(DecodeError):
        messages.decode(codec.pack([Rumours.kind, [rumour]]))
