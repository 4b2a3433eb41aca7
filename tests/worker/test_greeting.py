"""HELLO passes both ways with its capabilities blanked, whatever way its bytes come."""

from collections.abc import Iterator

import pytest

from mesh.net.stream_ends import Plain
from tests.mesh.net.blocking import tcp_pair
from worker.greeting import blank_reply, blank_request

HELLO = bytes([14]) + (24).to_bytes(8, "little")
VERSION = (28).to_bytes(8, "little") + bytes([7, 0, 1, 0])
CAPS = bytes(range(1, 25))


@pytest.fixture
def pair() -> Iterator[tuple[Plain, Plain]]:
    one, other = tcp_pair()
    ends = Plain(one), Plain(other)
    yield ends
    for end in ends:
        end.close()


def test_a_request_loses_its_capabilities_and_nothing_behind_it(pair: tuple[Plain, Plain]) -> None:
    here, there = pair
    here.send(HELLO + CAPS + b"next")
    assert blank_request(there) == HELLO + bytes(24)
    assert bytes(there.receive()) == b"next"


def test_a_reply_keeps_its_version(pair: tuple[Plain, Plain]) -> None:
    here, there = pair
    here.send(VERSION + CAPS + b"next")
    assert blank_reply(there) == VERSION + bytes(24)
    assert bytes(there.receive()) == b"next"


@pytest.mark.parametrize("count", [0, 1, 8, 9, 20, 32])
def test_an_end_before_the_whole_of_it_is_an_end(pair: tuple[Plain, Plain], count: int) -> None:
    here, there = pair
    here.send((HELLO + CAPS)[:count])
    here.finish()
    assert blank_request(there) == b""
    there.send((VERSION + CAPS)[:count])
    there.finish()
    assert blank_reply(here) == b""


@pytest.mark.parametrize(
    "said", [bytes(33), b"\x0f" + HELLO[1:] + CAPS, HELLO[:1] + (1 << 60).to_bytes(8, "little") + CAPS]
)
def test_anything_but_a_hello_of_that_length_is_malformed(pair: tuple[Plain, Plain], said: bytes) -> None:
    here, there = pair
    here.send(said)
    with pytest.raises(ValueError, match="HELLO"):
        blank_request(there)


def test_a_reply_of_another_length_is_malformed(pair: tuple[Plain, Plain]) -> None:
    here, there = pair
    here.send((32).to_bytes(8, "little") + bytes(32))
    with pytest.raises(ValueError, match="another protocol"):
        blank_reply(there)
