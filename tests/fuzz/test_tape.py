"""Streams that are played from bytes."""

import msgpack
import pytest

from tests.fuzz.tape import Tape, framed, loose, run_through, swollen


def test_a_tape_gives_its_bytes_in_pieces_and_then_ends() -> None:
    tape = Tape(b"abcde", piece=2)

    async def read() -> list[bytes]:
        return [await tape.receive_some(size) for size in (None, 1, 5, 5, 5)]

    assert run_through(read()) == [b"ab", b"c", b"de", b"", b""]


def test_a_tape_keeps_what_is_sent_to_it() -> None:
    tape = Tape(b"")
    run_through(tape.send_all(b"ab"))
    run_through(tape.send_all(b"c"))
    assert tape.sent == b"abc"


def test_a_value_is_read_from_the_front_or_not_at_all() -> None:
    assert loose(msgpack.packb({"a": [1]}) + b"rest") == {"a": [1]}
    for data in (b"", b"\xc1", b"\x92\x01", b"\xa1\xff"):
        assert loose(data) is None


@pytest.mark.parametrize("messages", [(), (1,), ({"a": 1}, b"two")])
def test_messages_are_framed_by_their_length(messages: tuple[object, ...]) -> None:
    data, read = framed(*messages), []
    while data:
        length = int.from_bytes(data[:4], "big")
        read.append(msgpack.unpackb(data[4 : 4 + length]))
        data = data[4 + length :]
    assert tuple(read) == messages


def test_a_small_message_swells_to_the_largest_and_stays_a_message() -> None:
    small = msgpack.packb([9, [b"a" * 60]])
    large = swollen(small, 65535, 262144)
    count = 262144 // len(small)
    assert 240_000 < len(large) <= 262144
    assert msgpack.unpackb(large) == [9, [b"a" * 60] * count]
    assert swollen(small, 1, 262144) == small


def test_what_is_no_message_swells_as_well_and_never_beyond_the_bound() -> None:
    assert swollen(b"12345ab", 3, 100) == b"12345ababab"
    assert len(swollen(b"12345ab", 1000, 100)) == 100
    assert len(swollen(msgpack.packb([9, [b"a" * 60]]), 1000, 100)) <= 100
    assert swollen(b"", 1000, 100) == b""
