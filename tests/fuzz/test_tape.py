"""Streams that are played from bytes."""

import msgpack
import pytest

from tests.fuzz.tape import Tape, framed, loose, run_through


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
