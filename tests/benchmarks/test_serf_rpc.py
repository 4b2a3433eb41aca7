import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.serf_rpc import Answer, Client, Codec, RpcError

# As serf 0.9.4 sent it to a client that had asked for the members: header, body.
MEMBERS = (
    b"\x82\xa5Error\xa0\xa3Seq\x01"
    b"\x81\xa7Members\x91\x8b\xa4Addr\xc4\x04\x7f\x00\x00\x02\xabDelegateCur\x05\xabDelegateMax\x05"
    b"\xabDelegateMin\x02\xa4Name\xa1a\xa4Port\xcd\x1f\n\xabProtocolCur\x02\xabProtocolMax\x05"
    b"\xabProtocolMin\x01\xa6Status\xa5alive\xa4Tags\x80"
)
HANDSHAKE = b"\x82\xa5Error\xa0\xa3Seq\x01"


def test_a_request_is_a_header_and_a_body_in_msgpacks_first_specification() -> None:
    codec = Codec()
    address = "h" * 40 + ":7946"
    request = codec.request("join", {"Existing": [address], "Replay": False})
    unpacker = msgpack.Unpacker(raw=False)
    unpacker.feed(request)
    assert list(unpacker) == [{"Command": "join", "Seq": 1}, {"Existing": [address], "Replay": False}]
    assert b"\xda\x00\x2d" + address.encode() in request, "a text of 45 bytes is a raw16, not a str8"


def test_requests_are_numbered() -> None:
    codec = Codec()
    first, second = codec.request("members"), codec.request("members")
    assert [msgpack.unpackb(request)["Seq"] for request in (first, second)] == [1, 2]


@given(st.lists(st.integers(1, len(MEMBERS) - 1), max_size=8))
def test_an_answer_is_understood_however_it_is_cut_up(cuts: list[int]) -> None:
    codec = Codec()
    codec.request("members")
    bounds = [0, *sorted(cuts), len(MEMBERS)]
    pieces = [MEMBERS[start:end] for start, end in pairwise(bounds)]
    answers = [answer for piece in pieces for answer in codec.receive(piece)]
    assert [answer.sequence for answer in answers] == [1]
    (member,) = answers[0].body["Members"]
    assert (member[b"Name"], member[b"Status"]) == (b"a", b"alive")


def test_a_command_without_body_is_answered_by_its_header() -> None:
    codec = Codec()
    codec.request("handshake", {"Version": 1})
    assert list(codec.receive(HANDSHAKE)) == [Answer(1, {})]


def test_a_refusal_names_the_command_and_serfs_reason() -> None:
    codec = Codec()
    codec.request("members")
    with pytest.raises(RpcError, match="serf refused members: Handshake required"):
        list(codec.receive(msgpack.packb({"Seq": 1, "Error": "Handshake required"})))


@pytest.mark.parametrize(
    "answer",
    [b"\xc1", msgpack.packb([1]), msgpack.packb({"Seq": 7, "Error": ""}), msgpack.packb({"Seq": 1})],
    ids=["no msgpack", "no map", "to nothing asked", "without verdict"],
)
def test_an_answer_without_sense_is_an_error(answer: bytes) -> None:
    codec = Codec()
    codec.request("handshake", {"Version": 1})
    with pytest.raises(RpcError, match="makes no sense"):
        list(codec.receive(answer))


@contextmanager
def serf_that_says(*answers: bytes) -> Iterator[tuple[str, int]]:
    """An agent that answers each request by the next of the answers, then closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def talk() -> None:
            connection, _ = listener.accept()
            with connection:
                for answer in answers:
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=talk)
        thread.start()
        try:
            yield listener.getsockname()
        finally:
            thread.join(10)


def numbered(answer: bytes, sequence: int) -> bytes:
    return answer.replace(b"\xa3Seq\x01", b"\xa3Seq" + bytes([sequence]), 1)


def test_a_client_shakes_hands_and_lists_the_members_by_state() -> None:
    with serf_that_says(HANDSHAKE, numbered(MEMBERS, 2)) as address:
        client = Client(socket.socket(), address)
        assert client.members() == {"a": "alive"}
        client.close()


def test_a_client_says_how_many_answered_to_a_join() -> None:
    joined = numbered(HANDSHAKE, 2) + msgpack.packb({"Num": 1})
    with serf_that_says(HANDSHAKE, joined) as address:
        client = Client(socket.socket(), address)
        assert client.join(["127.0.0.1:7946"], seconds=5) == 1
        client.close()


def test_an_agent_that_hangs_up_is_an_error() -> None:
    with serf_that_says(HANDSHAKE, b"") as address:
        client = Client(socket.socket(), address)
        with pytest.raises(RpcError, match="closed the connection"):
            client.members()
        client.close()


def test_an_agent_that_is_not_there_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    with pytest.raises(RpcError, match="does not answer"):
        Client(socket.socket(), address)
