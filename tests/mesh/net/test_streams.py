import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from mesh.net import streams as module
from mesh.net.callers import MAX_CALLERS_OF_A_SOURCE
from mesh.net.connecting import connect_first
from mesh.net.session import (
    MESSAGE_LIMIT,
    Session,
    StreamClosed,
    StreamRefused,
    StreamReset,
    Unreachable,
    WrongPeer,
    receive_message,
    send_message,
)
from mesh.net.streams import ProbeAnswer, Streams
from mesh.net.tls import Credentials, ServerTrust, unproven_context
from mesh.net.versions_preface import OtherVersion, ProgramVersion
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError
from mesh.wire.identity import Identity, NodeId, pool_id
from mesh.wire.versions import CLOSED, SPOKEN, Versions

from .conftest import Lan, StreamHost, members


async def echo(session: Session) -> None:
    while True:
        await session.send_message(await session.receive_message())


async def say_hello(session: Session) -> None:
    await session.send_message("hello")


HERE = ProgramVersion(SPOKEN)
HANDLERS = {"echo": echo, "admit": echo, "hello": say_hello}


async def pair(lan: Lan) -> tuple[StreamHost, StreamHost]:
    """Two members that trust each other."""
    a, b = await lan.host(HANDLERS), await lan.host(HANDLERS)
    for one in (a, b):
        one.streams.trust(members(a.identity, b.identity))
    return a, b


async def test_members_open_streams_and_know_each_other(lan: Lan) -> None:
    seen: list[Session] = []

    async def note(session: Session) -> None:
        seen.append(session)
        await echo(session)

    a, b = await lan.host({}), await lan.host({"note": note})
    for one in (a, b):
        one.streams.trust(members(a.identity, b.identity))
    session = await a.streams.open(b.id, [b.endpoint], "note", {"term": 7})
    await session.send_message({"a": [1, b"\0", None]})
    with trio.fail_after(5):
        assert await session.receive_message() == {"a": [1, b"\0", None]}
    assert (session.peer, session.peer_key, session.remote) == (b.id, b.identity.public_key, b.endpoint)
    (served,) = seen
    assert (served.peer, served.peer_key) == (a.id, a.identity.public_key)
    assert (served.remote, served.local) == (session.local, session.remote)
    assert (served.kind, served.arguments) == ("note", {"term": 7})
    await session.aclose()


async def test_a_node_that_is_no_member_is_refused_by_name(lan: Lan) -> None:
    _a, b = await pair(lan)
    stranger = Streams(Identity.generate())
    stranger.trust(members(b.identity))
    for _ in range(20):
        with pytest.raises(StreamRefused) as caught:
            await stranger.open(b.id, [b.endpoint], "echo")
        assert caught.value.code == "not_member"


async def test_without_a_certificate_only_open_kinds_are_served(lan: Lan) -> None:
    _a, b = await pair(lan)
    joiner = Streams(Identity.generate())
    with pytest.raises(StreamRefused) as caught:
        await joiner.open_unproven(b.endpoint, "echo")
    assert caught.value.code == "not_member"
    session = await joiner.open_unproven(b.endpoint, "admit", {"token": "t"})
    assert session.peer_key == b.identity.public_key
    await session.send_message("let me in")
    with trio.fail_after(5):
        assert await session.receive_message() == "let me in"
    await session.aclose()


async def test_a_handler_of_an_open_kind_sees_that_nothing_is_proven(lan: Lan) -> None:
    async def tell(session: Session) -> None:
        await session.send_message([session.peer, session.peer_key])

    b = await lan.host({"admit": tell})
    session = await Streams(Identity.generate()).open_unproven(b.endpoint, "admit")
    with trio.fail_after(5):
        assert await session.receive_message() == [None, None]
    await session.aclose()


async def test_the_wrong_peer_at_an_address_hears_nothing(lan: Lan) -> None:
    a, b = await pair(lan)
    c = Identity.generate()
    a.streams.trust(members(a.identity, b.identity, c))
    with pytest.raises(WrongPeer):
        await a.streams.open(c.id, [b.endpoint], "echo")


async def test_the_right_peer_is_found_behind_wrong_and_dead_addresses(lan: Lan) -> None:
    a, b = await pair(lan)
    c = await lan.host(HANDLERS)
    dead = Endpoint("127.0.0.1", 1)
    session = await a.streams.open(b.id, [dead, c.endpoint, b.endpoint], "echo")
    assert session.remote == b.endpoint
    await session.aclose()


async def test_an_evicted_members_streams_are_cut_on_both_sides(lan: Lan) -> None:
    a, b = await pair(lan)
    session = await a.streams.open(b.id, [b.endpoint], "echo")
    back = await b.streams.open(a.id, [a.endpoint], "echo")
    b.streams.trust(members(b.identity))
    with trio.fail_after(5), pytest.raises(StreamReset):
        await session.receive_message()
    with trio.fail_after(5), pytest.raises(StreamClosed):
        await back.receive_message()
    with pytest.raises(StreamRefused) as caught:
        await a.streams.open(b.id, [b.endpoint], "echo")
    assert caught.value.code == "not_member"
    with pytest.raises(StreamRefused):
        await b.streams.open(a.id, [a.endpoint], "echo")
    await session.aclose()
    await back.aclose()


async def test_an_eviction_cancels_a_handler_that_waits_for_something_else(lan: Lan) -> None:
    ended = trio.Event()

    async def wait(session: Session) -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    a, b = await lan.host({}), await lan.host({"wait": wait})
    for one in (a, b):
        one.streams.trust(members(a.identity, b.identity))
    session = await a.streams.open(b.id, [b.endpoint], "wait")
    b.streams.trust({})
    with trio.fail_after(5):
        await ended.wait()
    await session.aclose()


async def test_the_streams_of_those_who_stay_are_not_touched(lan: Lan) -> None:
    a, b = await pair(lan)
    c = Identity.generate()
    b.streams.trust(members(a.identity, b.identity, c))
    session = await a.streams.open(b.id, [b.endpoint], "echo")
    b.streams.trust(members(a.identity, b.identity))
    await session.send_message("still here")
    with trio.fail_after(5):
        assert await session.receive_message() == "still here"
    await session.aclose()


async def test_a_member_of_another_pool_is_refused(lan: Lan) -> None:
    a, b = await pair(lan)
    a.streams.pool = pool_id(b"a" * 32)
    b.streams.pool = pool_id(b"b" * 32)
    with pytest.raises(StreamRefused) as caught:
        await a.streams.open(b.id, [b.endpoint], "echo")
    assert caught.value.code == "other_pool"


async def test_a_kind_that_is_not_served_is_refused(lan: Lan) -> None:
    a, b = await pair(lan)
    with pytest.raises(StreamRefused) as caught:
        await a.streams.open(b.id, [b.endpoint], "nonsense")
    assert caught.value.code == "unknown_kind"


@pytest.mark.parametrize(
    ("preface", "code"),
    [
        ({"wire": 99, "pool": None, "kind": "admit", "arguments": {}}, "wire_version"),
        ({**HERE.preface(), "pool": None, "kind": 5, "arguments": {}}, "malformed"),
        ({**HERE.preface(), "pool": None, "kind": "admit", "arguments": []}, "malformed"),
        (["admit"], "malformed"),
    ],
)
async def test_a_preface_that_is_none_is_refused_with_the_reason(lan: Lan, preface: Any, code: str) -> None:
    b = await lan.host(HANDLERS)
    stream = await connect_first([b.endpoint], unproven_context(), None)
    await send_message(stream, preface)
    with trio.fail_after(5):
        assert (await receive_message(stream, MESSAGE_LIMIT))["error"]["code"] == code
    await stream.aclose()


@pytest.mark.parametrize("payload", [b"\xff\xff\xff\xff", b"\0\0\0\1\xc1", b"\0\1\0\1" + bytes(65537)])
async def test_hostile_prefaces_end_the_stream_and_nothing_else(lan: Lan, payload: bytes) -> None:
    a, b = await pair(lan)
    stream = await connect_first([b.endpoint], unproven_context(), None)
    with trio.fail_after(5), pytest.raises(MeshError):
        await send_raw_and_wait(stream, payload)
    await trio.aclose_forcefully(stream)
    assert await a.streams.probe(b.id, [b.endpoint]) is ProbeAnswer.ALIVE


async def send_raw_and_wait(stream: Any, payload: bytes) -> None:
    try:
        await stream.send_all(payload)
    except trio.BrokenResourceError as error:
        raise StreamReset("cut while sending") from error
    await receive_message(stream, MESSAGE_LIMIT)


async def test_what_is_no_tls_ends_the_stream_and_nothing_else(lan: Lan) -> None:
    a, b = await pair(lan)
    stream = await trio.open_tcp_stream(b.endpoint.host, b.endpoint.port)
    await stream.send_all(b"GET / HTTP/1.1\r\n\r\n" * 10)
    with trio.fail_after(5):
        try:
            while await stream.receive_some():
                continue
        except trio.BrokenResourceError:
            await trio.lowlevel.checkpoint()
    await stream.aclose()
    assert await a.streams.probe(b.id, [b.endpoint]) is ProbeAnswer.ALIVE


async def test_a_server_that_is_no_mesh_node_is_said_so(lan: Lan) -> None:
    async def speak_ssh(stream: trio.SocketStream) -> None:
        await stream.send_all(b"SSH-2.0-OpenSSH_9.2\r\n")
        await stream.receive_some()
        await stream.aclose()

    endpoint = await lan.foreign(speak_ssh)
    with pytest.raises(Unreachable, match="is that a mesh node"):
        await Streams(Identity.generate()).open_unproven(endpoint, "admit")


async def test_nobody_there_is_said_with_the_reason(lan: Lan) -> None:
    a, b = await pair(lan)
    with pytest.raises(Unreachable, match="connection refused"):
        await a.streams.open(b.id, [Endpoint("127.0.0.1", 1)], "echo")
    with pytest.raises(Unreachable, match="no address"):
        await a.streams.open(b.id, [], "echo")


async def test_a_silent_server_is_given_up_in_time(lan: Lan, autojump_clock: MockClock) -> None:
    async def stay_silent(stream: trio.SocketStream) -> None:
        async with stream:
            await trio.sleep_forever()

    endpoint = await lan.foreign(stay_silent)
    before = trio.current_time()
    with pytest.raises(Unreachable, match="within 5 s"):
        await Streams(Identity.generate()).open_unproven(endpoint, "admit")
    assert trio.current_time() - before == pytest.approx(5)


async def test_a_silent_client_is_given_up_in_time(lan: Lan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETUP_SECONDS", 0.05)
    b = await lan.host(HANDLERS)
    stream = await trio.open_tcp_stream(b.endpoint.host, b.endpoint.port)
    with trio.fail_after(5):
        assert await stream.receive_some() == b""
    await stream.aclose()


async def test_a_handlers_error_ends_its_stream_alone(lan: Lan, caplog: pytest.LogCaptureFixture) -> None:
    async def fail(session: Session) -> None:
        raise ValueError("a bug")

    a, b = await lan.host({}), await lan.host({"fail": fail, "hello": say_hello})
    for one in (a, b):
        one.streams.trust(members(a.identity, b.identity))
    with caplog.at_level(logging.ERROR):
        session = await a.streams.open(b.id, [b.endpoint], "fail")
        with trio.fail_after(5), pytest.raises(StreamClosed):
            await session.receive_message()
        await session.aclose()
    assert "a bug" in caplog.text
    assert await a.streams.probe(b.id, [b.endpoint]) is ProbeAnswer.ALIVE


async def fill(open_one: Callable[[], Any], count: int) -> list[Session]:
    return [await open_one() for _ in range(count)]


async def test_a_host_may_hold_a_few_unproven_streams_and_no_more(
    lan: Lan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_UNPROVEN_OF_A_HOST", 2)
    b = await lan.host(HANDLERS)
    joiner = Streams(Identity.generate())
    sessions = await fill(lambda: joiner.open_unproven(b.endpoint, "admit"), 2)
    with pytest.raises(StreamRefused) as caught:
        await joiner.open_unproven(b.endpoint, "admit")
    assert caught.value.code == "busy"
    for session in sessions:
        await session.aclose()


async def test_a_host_whose_connections_stay_silent_gets_no_more_and_delays_no_other(
    lan: Lan,
) -> None:
    a, b = await pair(lan)
    bound = Streams(a.identity, ["127.0.0.2"])
    bound.trust(members(b.identity))
    idle = [await trio.open_tcp_stream(b.endpoint.host, b.endpoint.port) for _ in range(300)]
    await trio.testing.wait_all_tasks_blocked()
    assert b.streams.drops.counts["flood"] == 300 - MAX_CALLERS_OF_A_SOURCE
    with trio.fail_after(2):
        session = await bound.open(b.id, [b.endpoint], "hello")
    assert await session.receive_message() == "hello"
    await session.aclose()
    for stream in idle:
        await trio.aclose_forcefully(stream)


async def test_a_refused_stream_is_counted_by_why(lan: Lan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETUP_SECONDS", 0.2)
    a, b = await pair(lan)
    stalled = await connect_first([b.endpoint], unproven_context(), None)
    with pytest.raises(StreamRefused):
        await a.streams.open(b.id, [b.endpoint], "nothing")
    with pytest.raises(StreamRefused):
        await a.streams.open_unproven(b.endpoint, "echo")
    stranger = Streams(Identity.generate())
    stranger.trust(members(b.identity))
    with pytest.raises(StreamRefused):
        await stranger.open(b.id, [b.endpoint], "echo")
    garbage = await trio.open_tcp_stream(b.endpoint.host, b.endpoint.port)
    await garbage.send_all(bytes(64))
    await trio.sleep(0.3)
    assert b.streams.drops.counts == {"unknown_kind": 1, "not_member": 1, "handshake": 2, "silence": 1}
    for stream in (garbage, stalled):
        await trio.aclose_forcefully(stream)


async def test_a_stream_of_a_node_that_is_no_member_ends_in_time(
    lan: Lan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "UNPROVEN_SECONDS", 0.05)
    b = await lan.host(HANDLERS)
    session = await Streams(Identity.generate()).open_unproven(b.endpoint, "admit")
    with trio.fail_after(5), pytest.raises(StreamClosed):
        await session.receive_message()
    await session.aclose()


async def test_a_member_may_hold_many_streams_and_no_more(lan: Lan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SESSIONS_OF_A_PEER", 2)
    a, b = await pair(lan)
    sessions = await fill(lambda: a.streams.open(b.id, [b.endpoint], "echo"), 2)
    with pytest.raises(StreamRefused) as caught:
        await a.streams.open(b.id, [b.endpoint], "echo")
    assert caught.value.code == "busy"
    for session in sessions:
        await session.aclose()


async def test_probing_says_whether_the_member_answers(lan: Lan) -> None:
    a, b = await pair(lan)
    assert await a.streams.probe(b.id, [b.endpoint]) is ProbeAnswer.ALIVE
    assert await a.streams.probe(b.id, [Endpoint("127.0.0.1", 1)]) is ProbeAnswer.NOBODY
    assert await a.streams.probe(b.id, [a.endpoint]) is ProbeAnswer.SILENCE
    assert await a.streams.probe(Identity.generate().id, [b.endpoint]) is ProbeAnswer.SILENCE


async def test_who_is_mute_answers_no_probe_and_serves_all_else(lan: Lan) -> None:
    a, b = await pair(lan)
    b.streams.is_fenced = lambda: True
    assert await a.streams.probe(b.id, [b.endpoint]) is ProbeAnswer.SILENCE
    session = await a.streams.open(b.id, [b.endpoint], "echo")
    await session.aclose()
    b.streams.is_fenced = lambda: False
    assert await a.streams.probe(b.id, [b.endpoint]) is ProbeAnswer.ALIVE


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8")
async def test_streams_leave_from_the_address_that_the_node_is_bound_to(lan: Lan) -> None:
    b = await lan.host(HANDLERS)
    joiner = Streams(Identity.generate(), source_hosts=["127.0.0.9"])
    session = await joiner.open_unproven(b.endpoint, "admit")
    assert session.local.host == "127.0.0.9"
    await session.aclose()


# --- programs of different versions


LATER = Versions(4, 5)
TELLS_2 = {"code": "wire_version", "message": "this node speaks wire version 2", "hint": "upgrade the older"}


async def of_versions(lan: Lan, *speaks: Versions) -> list[StreamHost]:
    """Members that trust each other, of builds named by their newest version."""
    hosts = [await lan.host(HANDLERS, each, f"0.{each.newest}.0") for each in speaks]
    for one in hosts:
        one.streams.trust(members(*(host.identity for host in hosts)))
    return hosts


async def refused(opening: Awaitable[Session]) -> OtherVersion:
    with pytest.raises(OtherVersion) as caught:
        await opening
    return caught.value


async def answering(lan: Lan, host: StreamHost, answer: Any) -> tuple[NodeId, Endpoint]:
    """A member of that host's pool that answers each preface so."""
    identity = Identity.generate()
    host.streams.trust(members(host.identity, identity))
    trust = ServerTrust(Credentials(identity))
    trust.update(members(host.identity))

    async def speak(connection: trio.SocketStream) -> None:
        stream = trio.SSLStream(connection, trust.context(), server_side=True)
        await receive_message(stream, MESSAGE_LIMIT)
        await send_message(stream, answer)
        await trio.aclose_forcefully(stream)

    return identity.id, await lan.foreign(speak)


async def test_members_of_neighbouring_versions_open_streams_and_know_what_the_other_is(lan: Lan) -> None:
    old, new = await of_versions(lan, SPOKEN, Versions(3, 4))
    for opener, other in ((old, new), (new, old)):
        session = await opener.streams.open(other.id, [other.endpoint], "hello")
        assert await session.receive_message() == "hello"
        await session.aclose()
    assert old.streams.versions == {new.id: ProgramVersion(Versions(3, 4), "0.4.0")}
    assert new.streams.versions == {old.id: ProgramVersion(SPOKEN, "0.3.0")}


async def test_programs_without_a_common_version_refuse_each_other_and_name_both(lan: Lan) -> None:
    old, new = await of_versions(lan, SPOKEN, LATER)
    at_old = await refused(old.streams.open(new.id, [new.endpoint], "echo"))
    assert at_old.message == "127.0.0.1 speaks wire version 4 and 5 (mesh 0.5.0), this machine 2 and 3"
    assert at_old.hint == "upgrade this machine, then: mesh join", "it is in no pool yet"
    assert (at_old.code, at_old.theirs, at_old.peer) == ("wire_version", new.streams.here, new.id)
    old.streams.pool = new.streams.pool = pool_id(b"p" * 32)
    assert (await refused(old.streams.open(new.id, [new.endpoint], "echo"))).hint.endswith("mesh restart")
    at_new = await refused(new.streams.open(old.id, [old.endpoint], "echo"))
    assert at_new.message == "127.0.0.1 speaks wire version 2 and 3 (mesh 0.3.0), this machine 4 and 5"
    assert at_new.hint == "upgrade that one, then there: mesh restart"


async def test_a_refusal_for_the_version_leaves_a_note_at_both_ends(lan: Lan) -> None:
    old, new = await of_versions(lan, SPOKEN, LATER)
    assert await old.streams.probe(new.id, [new.endpoint]) is ProbeAnswer.SILENCE
    assert old.streams.versions == {new.id: ProgramVersion(LATER, "0.5.0")}
    assert new.streams.versions == {old.id: ProgramVersion(SPOKEN, "0.3.0")}
    assert new.streams.drops.counts == {"wire_version": 1}


async def test_any_refusal_says_what_the_other_speaks(lan: Lan) -> None:
    a, b = await of_versions(lan, SPOKEN, Versions(3, 4))
    with pytest.raises(StreamRefused, match="no stream of kind") as caught:
        await a.streams.open(b.id, [b.endpoint], "nonsense")
    assert caught.value.peer == b.id
    assert a.streams.versions == {b.id: ProgramVersion(Versions(3, 4), "0.4.0")}


async def test_a_member_that_is_upgraded_is_noted_anew_and_one_that_is_gone_no_more(lan: Lan) -> None:
    a, b = await of_versions(lan, SPOKEN, SPOKEN)
    assert await b.streams.probe(a.id, [a.endpoint]) is ProbeAnswer.ALIVE
    b.streams.here = ProgramVersion(Versions(3, 4), "0.4.0")
    assert await b.streams.probe(a.id, [a.endpoint]) is ProbeAnswer.ALIVE
    assert a.streams.versions == {b.id: b.streams.here}
    a.streams.trust(members(a.identity))
    assert a.streams.versions == {}


async def test_strangers_leave_no_note_at_either_end(lan: Lan) -> None:
    joiner, b = Streams(Identity.generate(), speaks=LATER), await lan.host(HANDLERS)
    other = await refused(joiner.open_unproven(b.endpoint, "admit"))
    assert (other.theirs, other.peer) == (b.streams.here, b.id)
    assert joiner.versions == b.streams.versions == {}


@pytest.mark.parametrize(
    ("answer", "speaks", "message"),
    [
        ({"error": TELLS_2}, CLOSED, "speaks wire version 2, this machine 4 and 5"),
        ({"ok": True}, CLOSED, "speaks wire version 2, this machine 4 and 5"),
        ({"error": TELLS_2, "speaks": [9]}, None, "does not speak the wire version of this machine"),
        ({"error": TELLS_2, "speaks": [4, 5]}, LATER, "does not speak the wire version of this machine"),
    ],
)
async def test_a_server_of_version_2_or_one_that_says_nonsense_is_named_so(
    lan: Lan, answer: Any, speaks: Versions | None, message: str
) -> None:
    a = await lan.host({}, LATER)
    server, endpoint = await answering(lan, a, answer)
    other = await refused(a.streams.open(server, [endpoint], "echo"))
    assert other.theirs == (None if speaks is None else ProgramVersion(speaks))
    assert message in other.message
    assert a.streams.versions == ({} if speaks is None else {server: ProgramVersion(speaks)})


async def test_a_server_of_version_2_serves_a_program_that_speaks_2_as_well(lan: Lan) -> None:
    a = await lan.host({})
    server, endpoint = await answering(lan, a, {"ok": True})
    session = await a.streams.open(server, [endpoint], "echo")
    await session.aclose()
    assert a.streams.versions == {server: ProgramVersion(CLOSED)}


async def test_a_client_of_version_2_is_refused_in_words_for_its_own_people(lan: Lan) -> None:
    b = await lan.host(HANDLERS, LATER, "0.5.0")
    stream = await connect_first([b.endpoint], unproven_context(), None)
    await send_message(stream, {"wire": 2, "pool": None, "kind": "admit", "arguments": {}})
    with trio.fail_after(5):
        answer = await receive_message(stream, MESSAGE_LIMIT)
    assert answer["error"] == {
        "code": "wire_version",
        "message": "that machine speaks wire version 4 and 5 (mesh 0.5.0), this machine 2",
        "hint": "upgrade this machine, then: mesh join",
    }
    await trio.aclose_forcefully(stream)
