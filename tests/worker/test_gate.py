import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from mesh.net.stream_ends import Plain
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError
from tests.mesh.net.blocking import tcp_pair
from tests.waiting import until
from worker import gate as module
from worker.gate import Gate

ALICE, BOB = b"a" * 16, b"b" * 16


@dataclass(frozen=True)
class FakeClaim:
    author: bytes
    term: int


HERE = Endpoint("127.0.0.1", 50052)
HELLO = bytes([14]) + (24).to_bytes(8, "little") + b"\xff" * 24
ANSWER = (28).to_bytes(8, "little") + bytes([7, 0, 0, 0]) + b"\xff" * 24
BLANK_HELLO, BLANK_ANSWER = HELLO[:9] + bytes(24), ANSWER[:12] + bytes(24)


@dataclass
class FakeSession:
    """The worker's end of an authenticated stream; ``far`` is the leader's."""

    peer: bytes | None
    arguments: dict[str, Any]
    connection: socket.socket
    far: trio.SocketStream
    messages: list[dict[str, Any]] = field(default_factory=list)
    answered: trio.Event = field(default_factory=trio.Event)
    local: Endpoint = HERE
    remote: Endpoint = HERE

    async def send_message(self, message: Any, /) -> None:
        await trio.lowlevel.checkpoint()
        self.messages.append(message)
        self.answered.set()

    async def receive_message(self, limit: int = 0, /) -> Any:
        await trio.sleep_forever()

    async def unwrap(self) -> Plain:
        raise AssertionError("it was not agreed upon")

    def sealed(self) -> Any:
        return Plain(self.connection.dup())

    async def aclose(self) -> None:
        self.connection.close()

    async def say(self, text: bytes) -> bytes:
        """As many bytes as were sent."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.far.send_all, text)
            return await self.hear(len(text))

    async def hear(self, count: int) -> bytes:
        heard = bytearray()
        while len(heard) < count:
            data = await self.far.receive_some(count - len(heard))
            assert data, "the gate closed the stream"
            heard += data
        return bytes(heard)

    async def greet(self) -> None:
        await self.far.send_all(HELLO)
        assert await self.hear(len(ANSWER)) == BLANK_ANSWER

    async def is_closed(self) -> bool:
        try:
            return await self.far.receive_some(1) == b""
        except trio.BrokenResourceError:
            return True


Sessions = Callable[..., FakeSession]
NOT_READ = "the request names devices in a way that this worker does not read"


@pytest.fixture
async def session() -> AsyncIterator[Sessions]:
    made: list[FakeSession] = []

    def make(peer: bytes | None = ALICE, term: object = 5, **named: object) -> FakeSession:
        near, far = tcp_pair()
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(far))
        made.append(FakeSession(peer, {"term": term, **named}, near, stream))
        return made[-1]

    yield make
    for one in made:
        one.connection.close()
        one.far.socket.close()


@dataclass
class FakeServer:
    """Serves one client at a time, as rpc-server does, and says how many it has."""

    port: int | None = None
    serving: int = 0
    most: int = 0
    greeting: bytearray = field(default_factory=bytearray)
    greetings: list[bytes] = field(default_factory=list)
    heard: bytearray = field(default_factory=bytearray)
    freed: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint
    turn: trio.StrictFIFOLock = field(default_factory=trio.StrictFIFOLock)

    def server(self, devices: Sequence[str], /) -> "FakeServer":
        """The machine's only one, whatever is asked for."""
        return self

    async def free_up(self) -> None:
        await self.freed()

    async def connect(self) -> trio.SocketStream:
        if self.port is None:
            raise ConnectionRefusedError
        return await trio.open_tcp_stream("127.0.0.1", self.port)

    async def serve(self, stream: trio.SocketStream) -> None:
        self.serving += 1
        self.most = max(self.most, self.serving)
        try:
            while len(self.greeting) < len(HELLO) and (data := await stream.receive_some(1)):
                self.greeting += data
            if self.greeting:
                await stream.send_all(ANSWER)
            while data := await stream.receive_some(1 << 20):
                self.heard += data
                if data == b"crash":
                    stream.socket.setsockopt(
                        trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
                    )
                    stream.socket.close()
                    return
                await stream.send_all(data.upper())
        except trio.BrokenResourceError:
            pass
        finally:
            self.greetings.append(bytes(self.greeting))
            self.greeting.clear()
            self.serving -= 1
            await trio.aclose_forcefully(stream)


@pytest.fixture
async def server(nursery: trio.Nursery) -> FakeServer:
    return await started(FakeServer(), nursery)


async def started(server: FakeServer, nursery: trio.Nursery) -> FakeServer:
    listeners = await nursery.start(partial(trio.serve_tcp, server.serve, 0, host="127.0.0.1"))
    server.port = listeners[0].socket.getsockname()[1]
    return server


@pytest.fixture
async def gate(server: FakeServer) -> AsyncIterator[Gate]:
    gate = Gate(server)
    gate.set_holder(FakeClaim(ALICE, 5))
    with trio.fail_after(20):
        yield gate


async def test_bytes_of_the_holder_pass_both_ways(
    gate: Gate, session: Sessions, nursery: trio.Nursery
) -> None:
    one = session()
    nursery.start_soon(gate.handle, one)
    await one.greet()
    assert await one.say(b"hello") == b"HELLO"
    big = b"x" * 3_000_000
    assert await one.say(big) == big.upper()
    assert one.messages == [{"ok": True}]
    expected = (3_000_005 + len(HELLO), 3_000_005 + len(ANSWER), 1)
    await until(lambda: gate.counters.bytes_out == expected[1])
    assert (gate.counters.bytes_in, gate.counters.bytes_out, gate.counters.passed) == expected


async def test_no_capability_beyond_tcp_is_offered_either_way(
    gate: Gate, server: FakeServer, session: Sessions, nursery: trio.Nursery
) -> None:
    one = session()
    nursery.start_soon(gate.handle, one)
    for byte in HELLO:
        await one.far.send_all(bytes([byte]))
    assert await one.hear(len(ANSWER)) == BLANK_ANSWER
    await one.far.send_eof()
    await until(lambda: server.greetings == [BLANK_HELLO])


@pytest.mark.parametrize(
    "first", [b"\x0f" + bytes(32), HELLO[:1] + bytes([28]) + bytes(31), b"GET / HTTP/1.1" * 3]
)
async def test_who_does_not_begin_with_hello_is_cut_and_counted(
    gate: Gate, server: FakeServer, session: Sessions, nursery: trio.Nursery, first: bytes
) -> None:
    one = session()
    nursery.start_soon(gate.handle, one)
    await one.far.send_all(first)
    assert await one.is_closed()
    await until(lambda: not server.serving)
    assert (bytes(server.heard), server.greetings, gate.counters.malformed) == (b"", [b""], 1)


async def test_a_client_that_only_looks_in_is_let_go(
    gate: Gate, server: FakeServer, session: Sessions, nursery: trio.Nursery
) -> None:
    one = session()
    nursery.start_soon(gate.handle, one)
    await one.answered.wait()
    await one.far.send_eof()
    assert await one.is_closed()
    assert gate.counters.malformed == 0


@pytest.mark.parametrize(
    ("peer", "term"), [(BOB, 5), (ALICE, 4), (ALICE, 6), (None, 5), (ALICE, None), (ALICE, "5"), (BOB, 6)]
)
async def test_anyone_else_is_told_why_and_closed(
    gate: Gate, server: FakeServer, session: Sessions, peer: bytes | None, term: object
) -> None:
    other = session(peer, term)
    await gate.handle(other)
    (message,) = other.messages
    assert message["ok"] is False
    assert "another claim" in message["reason"]
    assert await other.is_closed()
    assert (gate.counters.refused, server.serving, server.greetings) == (1, 0, [])


async def test_without_a_holder_nobody_passes(gate: Gate, session: Sessions) -> None:
    gate.set_holder(None)
    one = session()
    await gate.handle(one)
    assert one.messages == [{"ok": False, "reason": "this worker is leased to nobody"}]


@pytest.mark.parametrize("claim", [None, FakeClaim(BOB, 6)], ids=["nobody", "another"])
async def test_streams_are_cut_when_the_lease_changes_hands(
    gate: Gate, server: FakeServer, session: Sessions, nursery: trio.Nursery, claim: FakeClaim | None
) -> None:
    one = session()
    nursery.start_soon(gate.handle, one)
    await one.greet()
    gate.set_holder(claim)
    assert await one.is_closed()
    await until(lambda: not server.serving)
    assert gate.counters.cut == 1


async def test_the_same_claim_again_cuts_nothing(
    gate: Gate, session: Sessions, nursery: trio.Nursery
) -> None:
    one = session()
    nursery.start_soon(gate.handle, one)
    await one.greet()
    gate.set_holder(FakeClaim(ALICE, 5))
    assert await one.say(b"still") == b"STILL"


async def test_a_holder_that_follows_itself_keeps_its_streams(
    gate: Gate, session: Sessions, nursery: trio.Nursery
) -> None:
    one = session()
    nursery.start_soon(gate.handle, one)
    await one.greet()
    gate.set_holder(FakeClaim(ALICE, 9))
    assert await one.say(b"still") == b"STILL"
    assert gate.counters.cut == 0


async def test_what_began_under_a_later_term_ends_what_its_author_began_before(
    gate: Gate, session: Sessions, nursery: trio.Nursery
) -> None:
    old, new, late = session(), session(ALICE, 9), session()
    nursery.start_soon(gate.handle, old)
    await old.greet()
    gate.set_holder(FakeClaim(ALICE, 9))
    nursery.start_soon(gate.handle, new)
    assert await old.is_closed()
    await new.greet()
    assert await new.say(b"new") == b"NEW"
    await gate.handle(late)
    assert late.messages == [{"ok": False, "reason": "this worker is leased to another claim, of term 9"}]


async def test_a_holder_whose_lease_was_broken_off_begins_anew(
    gate: Gate, session: Sessions, nursery: trio.Nursery
) -> None:
    one, late = session(), session()
    nursery.start_soon(gate.handle, one)
    await one.greet()
    gate.set_holder(None)
    gate.set_holder(FakeClaim(ALICE, 6))
    assert await one.is_closed()
    await gate.handle(late)
    assert late.messages == [{"ok": False, "reason": "this worker is leased to another claim, of term 6"}]


async def test_what_a_stale_leader_goes_on_sending_never_reaches_the_server(
    gate: Gate, server: FakeServer, session: Sessions, nursery: trio.Nursery
) -> None:
    old, new = session(), session(BOB, 6)
    nursery.start_soon(gate.handle, old)
    await old.greet()
    assert await old.say(b"mine") == b"MINE"
    gate.set_holder(FakeClaim(BOB, 6))

    async def go_on() -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            while True:
                await old.far.send_all(b"stale" * 10_000)

    nursery.start_soon(go_on)
    nursery.start_soon(gate.handle, new)
    await new.greet()
    assert await new.say(b"ours") == b"OURS"
    assert server.heard == b"mineours"
    assert server.most == 1


async def test_a_stale_leader_in_the_midst_of_a_flood_is_cut_off(
    gate: Gate, server: FakeServer, session: Sessions, nursery: trio.Nursery
) -> None:
    old, new = session(), session(BOB, 6)
    nursery.start_soon(gate.handle, old)
    await old.greet()

    async def flood() -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            while True:
                await old.far.send_all(b"o" * 100_000)

    nursery.start_soon(flood)  # nobody reads the answers: everything is full soon
    await until(lambda: gate.counters.bytes_in > 1_000_000)
    gate.set_holder(FakeClaim(BOB, 6))
    before = gate.counters.bytes_in
    nursery.start_soon(gate.handle, new)
    await new.greet()
    assert await new.say(b"new") == b"NEW"
    assert gate.counters.bytes_in - before <= (1 << 20) + len(HELLO) + len(b"new")
    assert server.heard.endswith(b"onew")


async def test_a_newer_holder_waits_until_the_server_let_go_of_its_last_client(
    gate: Gate, server: FakeServer, session: Sessions, nursery: trio.Nursery
) -> None:
    let_go = trio.Event()
    server.freed = let_go.wait
    one = session()
    nursery.start_soon(gate.handle, one)
    await trio.testing.wait_all_tasks_blocked()
    assert one.messages == []
    let_go.set()
    await one.greet()


async def test_several_streams_of_the_holder_pass_one_after_the_other_in_order(
    gate: Gate, server: FakeServer, session: Sessions, nursery: trio.Nursery
) -> None:
    sessions = [session() for _ in range(4)]
    for one in sessions:
        nursery.start_soon(gate.handle, one)
        await trio.testing.wait_all_tasks_blocked()
    for number, one in enumerate(sessions):
        await one.answered.wait()
        assert [bool(other.messages) for other in sessions] == [other <= number for other in range(4)]
        await one.greet()
        assert await one.say(b"me") == b"ME"
        await one.far.aclose()
    await until(lambda: not server.serving)
    assert server.most == 1


async def test_waiting_streams_are_cut_too(gate: Gate, session: Sessions, nursery: trio.Nursery) -> None:
    first, waiting = session(), session()
    nursery.start_soon(gate.handle, first)
    await first.greet()
    nursery.start_soon(gate.handle, waiting)
    await trio.testing.wait_all_tasks_blocked()
    gate.set_holder(None)
    assert await waiting.is_closed()
    assert waiting.messages == []
    assert gate.counters.cut == 2


async def test_more_waiting_streams_than_there_is_room_for_are_refused(
    gate: Gate, session: Sessions, nursery: trio.Nursery
) -> None:
    for _ in range(128):
        nursery.start_soon(gate.handle, session())
    await trio.testing.wait_all_tasks_blocked()
    late = session()
    await gate.handle(late)
    assert late.messages[0]["ok"] is False


async def test_the_end_of_the_holders_stream_is_the_servers_end(
    gate: Gate, server: FakeServer, session: Sessions, nursery: trio.Nursery
) -> None:
    one = session()
    nursery.start_soon(gate.handle, one)
    await one.greet()
    await one.far.send_eof()
    assert await one.is_closed()
    await until(lambda: not server.serving)


async def test_a_server_that_resets_closes_the_holders_stream(
    gate: Gate, session: Sessions, nursery: trio.Nursery
) -> None:
    one = session()
    nursery.start_soon(gate.handle, one)
    await one.greet()
    await one.far.send_all(b"crash")
    assert await one.is_closed()


@pytest.mark.parametrize("port", [None, 1])
async def test_a_server_that_is_not_there_is_said(
    gate: Gate, server: FakeServer, session: Sessions, port: int | None
) -> None:
    server.port = port
    one = session()
    await gate.handle(one)
    assert one.messages == [{"ok": False, "reason": "the worker's rpc-server is not ready"}]
    assert await one.is_closed()


async def test_a_server_that_is_not_free_in_time_is_said_to_be_not_ready(
    gate: Gate, server: FakeServer, session: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that others were begun in place of, which never comes back."""
    monkeypatch.setattr(module, "_FREE_SECONDS", 0.01)
    server.port, server.freed = None, trio.sleep_forever
    one = session()
    await gate.handle(one)
    assert one.messages == [{"ok": False, "reason": "the worker's rpc-server is not ready"}]


@dataclass
class Machine:
    """Its servers by the names of their devices."""

    servers: dict[tuple[str, ...], FakeServer]
    asked: list[tuple[str, ...]] = field(default_factory=list)

    def server(self, devices: Sequence[str], /) -> FakeServer:
        self.asked.append(tuple(devices))
        if tuple(devices) not in self.servers:
            raise MeshError(f"this worker lends no {devices[0]!r}")
        return self.servers[tuple(devices)]


@pytest.fixture
async def machine(server: FakeServer, nursery: trio.Nursery) -> Machine:
    other = await started(FakeServer(), nursery)
    return Machine({("CUDA0",): server, ("CUDA1", "CPU"): other, (): server})


@pytest.fixture
async def wide_gate(machine: Machine) -> AsyncIterator[Gate]:
    gate = Gate(machine)
    gate.set_holder(FakeClaim(ALICE, 5))
    with trio.fail_after(20):
        yield gate


async def test_streams_to_two_servers_pass_at_the_same_time_each_to_its_own(
    wide_gate: Gate, machine: Machine, session: Sessions, nursery: trio.Nursery
) -> None:
    one, two = session(devices=["CUDA0"]), session(devices=["CUDA1", "CPU"])
    for stream in (one, two):
        nursery.start_soon(wide_gate.handle, stream)
        await stream.greet()
    assert (await one.say(b"one"), await two.say(b"two")) == (b"ONE", b"TWO")
    assert [bytes(machine.servers[names].heard) for names in (("CUDA0",), ("CUDA1", "CPU"))] == [
        b"one",
        b"two",
    ]
    passed = 2 * len(HELLO) + len(b"onetwo")
    await until(lambda: wide_gate.counters.bytes_in == passed)


async def test_a_lease_that_goes_elsewhere_cuts_the_streams_to_all_servers(
    wide_gate: Gate, session: Sessions, nursery: trio.Nursery
) -> None:
    streams = [session(devices=["CUDA0"]), session(devices=["CUDA1", "CPU"])]
    for stream in streams:
        nursery.start_soon(wide_gate.handle, stream)
        await stream.greet()
    wide_gate.set_holder(FakeClaim(BOB, 6))
    for stream in streams:
        assert await stream.is_closed()
    assert wide_gate.counters.cut == 2


async def test_a_stream_under_a_later_term_cuts_those_to_the_other_servers_too(
    wide_gate: Gate, session: Sessions, nursery: trio.Nursery
) -> None:
    old, new = session(devices=["CUDA0"]), session(term=9, devices=["CUDA1", "CPU"])
    nursery.start_soon(wide_gate.handle, old)
    await old.greet()
    wide_gate.set_holder(FakeClaim(ALICE, 9))
    nursery.start_soon(wide_gate.handle, new)
    assert await old.is_closed()
    await new.greet()


@pytest.mark.parametrize(
    ("devices", "reason"),
    [
        (["CUDA7"], "this worker lends no 'CUDA7'"),
        ("CUDA0", NOT_READ),
        ([7], NOT_READ),
        (["A"] * 9, NOT_READ),
    ],
)
async def test_devices_that_are_not_there_are_refused_in_words(
    wide_gate: Gate, session: Sessions, devices: object, reason: str
) -> None:
    one = session(devices=devices)
    await wide_gate.handle(one)
    assert one.messages == [{"ok": False, "reason": reason}]
    assert wide_gate.counters.refused == 1


async def test_who_holds_no_lease_has_no_servers_changed_for_it(
    wide_gate: Gate, machine: Machine, session: Sessions
) -> None:
    await wide_gate.handle(session(BOB, devices=["CUDA0"]))
    assert machine.asked == []


async def test_an_older_leader_which_names_no_device_gets_the_first(
    wide_gate: Gate, machine: Machine, session: Sessions, nursery: trio.Nursery
) -> None:
    one = session()
    nursery.start_soon(wide_gate.handle, one)
    await one.greet()
    assert machine.asked == [()]
