"""The driver performs effects in order: durable writes are on the disk before a datagram leaves."""

import logging
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mesh.net.datagrams import Datagrams
from mesh.net.port import bind_port
from mesh.net.session import StreamError
from mesh.net.stream_kinds import StreamKind
from mesh.net.versions_preface import ProgramVersion
from mesh.protocol.base.effects import (
    Effect,
    GateChanged,
    MembersChanged,
    Notice,
    Persist,
    ProbeStream,
    Send,
    SetTimer,
    Tell,
    Timer,
)
from mesh.runtime.durability import RETRY_SECONDS
from mesh.runtime.node_driver import LONGEST_NAP, MAX_PROBES, NodeDriver
from mesh.wire import codec, messages
from mesh.wire.endpoint import Endpoint
from mesh.wire.envelope import open_envelope
from mesh.wire.errors import MeshError
from mesh.wire.facts import Claim
from mesh.wire.identity import Identity, NodeId
from mesh.wire.rights import ALL_RIGHTS
from mesh.wire.signed_facts import decode
from mesh.wire.versions import Versions
from tests.mesh.machines import Ground, Here
from tests.mesh.protocol.stage import grown

SOMEWHERE = Endpoint("127.0.0.1", 9)


class Journal(Datagrams):
    """Notes what a datagram's sender had on its disk when it left; sends it by ``real``, if at all."""

    def __init__(self, disk: Path, real: Datagrams | None = None) -> None:
        bound = bind_port(["127.0.0.1"])
        super().__init__(bound.udp)
        bound.close()
        self._disk = disk
        self._real = real
        self.sent: list[tuple[bytes, dict[str, bytes]]] = []

    def send(self, endpoint: Endpoint, payload: bytes) -> bool:
        files = {path.name: path.read_bytes() for path in self._disk.rglob("pools/*/*") if path.is_file()}
        self.sent.append((payload, files))
        return self._real is None or self._real.send(endpoint, payload)

    async def receive(self) -> tuple[Endpoint, bytes]:
        return await (super().receive() if self._real is None else self._real.receive())


async def founder(ground: Ground) -> tuple[Here, Journal, NodeDriver]:
    """A founder whose datagrams are noted rather than sent."""
    anna = await ground.machine("anna")
    anna.datagrams = journal = Journal(anna.state.path)
    anna.found()
    assert anna.driver is not None
    journal.sent.clear()
    return anna, journal, anna.driver


async def test_what_is_persisted_is_on_the_disk_before_a_later_datagram_leaves(
    clock: MockClock, ground: Ground
) -> None:
    _, journal, driver = await founder(ground)

    def step(now: float) -> list[Effect]:
        return [
            Send(None, SOMEWHERE, b"before"),
            Persist("promise", b"1"),
            Send(None, SOMEWHERE, b"between"),
            Persist("promise", b"2"),
            Send(None, SOMEWHERE, b"after"),
        ]

    driver.do(step)
    assert [(payload, disk.get("promise")) for payload, disk in journal.sent] == [
        (b"before", None),
        (b"between", b"1"),
        (b"after", b"2"),
    ]


async def test_while_the_disk_takes_no_promise_nothing_leaves_and_afterwards_all_goes_on(
    clock: MockClock, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, journal, driver = await founder(ground)
    with monkeypatch.context() as full:
        full.setattr(anna.state, "persist", disk_is_full)
        driver.do(lambda now: [Persist("term", b"9"), Send(None, SOMEWHERE, b"after")])
        driver.do(lambda now: [Send(None, SOMEWHERE, b"later")])
        assert journal.sent == []
        assert driver.trouble is not None
        assert anna.streams.is_fenced()
        with pytest.raises(MeshError, match="disk is full"):
            driver.command(lambda now: [])
    await trio.sleep(RETRY_SECONDS)
    driver.do(lambda now: [Send(None, SOMEWHERE, b"again")])
    assert [(payload, disk.get("term")) for payload, disk in journal.sent] == [(b"again", b"9")]
    assert not anna.streams.is_fenced()
    assert driver.trouble is None


def disk_is_full(*_: object) -> None:
    raise MeshError("the disk is full")


def leader_of(here: Here) -> NodeId | None:
    claim = here.node.leader()
    return None if claim is None else claim.author


def terms(payload: bytes, author: NodeId) -> list[int]:
    """The terms of the claims by ``author`` in a datagram (to ask for a vote claims nothing yet)."""
    message = messages.decode(open_envelope(payload).body)
    facts = [decode(data).fact for data in message.facts] if isinstance(message, messages.Bodies) else []
    return [fact.term for fact in facts if isinstance(fact, Claim) and fact.author == author]


async def test_a_node_has_its_term_on_the_disk_when_it_speaks_of_it(clock: MockClock, ground: Ground) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    journals: dict[NodeId, Journal] = {}
    for here in (anna, bert):
        here.datagrams = journals[here.id] = Journal(here.state.path, here.datagrams)
    anna.found()
    bert.enter(await bert.search().by_host(anna.endpoint, anna.invite()))
    await ground.acquaint(anna, bert)
    with trio.fail_after(30):
        while leader_of(bert) is None or leader_of(bert) != leader_of(anna):
            await bert.changes.wait(bert.changes.count, 0.1)
    leader = leader_of(anna)
    assert leader is not None
    spoken = [
        (term, disk.get("term", codec.pack([0])))
        for payload, disk in journals[leader].sent
        for term in terms(payload, leader)
    ]
    assert spoken
    assert all(term <= codec.unpack(kept, 16)[0] for term, kept in spoken)


async def test_a_founder_comes_to_lead_by_its_timers_alone(clock: MockClock, ground: Ground) -> None:
    anna, _, driver = await founder(ground)
    start, led_at_first = trio.current_time(), anna.node.leader()
    async with trio.open_nursery() as nursery:
        await nursery.start(driver.run)
        with trio.fail_after(30):
            while anna.node.leader() is None:
                await anna.changes.wait(anna.changes.count, 1)
        nursery.cancel_scope.cancel()
    assert led_at_first is None
    assert leader_of(anna) == anna.id
    assert 0 < trio.current_time() - start < 10


async def test_timers_fire_in_their_order_and_not_before_their_time(
    clock: MockClock, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, _, driver = await founder(ground)
    driver._timers.clear()
    fired: list[tuple[float, str]] = []

    def fire(now: float, timer: Timer) -> list[Effect]:
        fired.append((round(now - start, 3), timer.kind))
        return []

    monkeypatch.setattr(anna.node, "fire", fire)
    start = trio.current_time()
    wanted = {"last": 3 * LONGEST_NAP, "first": 0.1, "second": 0.2}
    driver.do(lambda now: [SetTimer(Timer(kind, b"", 1), now + after) for kind, after in wanted.items()])
    async with trio.open_nursery() as nursery:
        await nursery.start(driver.run)
        await trio.sleep(0.15)
        driver.do(lambda now: [SetTimer(Timer("sooner", b"", 1), now)])
        await trio.sleep(5)
        nursery.cancel_scope.cancel()
    assert [kind for _, kind in fired] == ["first", "sooner", "second", "last"]
    times = {kind: at for at, kind in fired}
    assert times["sooner"] == pytest.approx(0.15, abs=0.02)
    assert times["last"] == pytest.approx(3 * LONGEST_NAP, abs=0.02)


async def test_the_gate_follows_at_once_and_before_any_later_datagram(
    clock: MockClock, ground: Ground
) -> None:
    anna, journal, driver = await founder(ground)
    claim = Claim(anna.own_pool, anna.id, 7, 1)
    holders_when_sent: list[int] = []

    def step(now: float) -> list[Effect]:
        return [Tell(GateChanged(claim)), Send(None, SOMEWHERE, b"granted"), Tell(GateChanged(None))]

    send = journal.send

    def noting(endpoint: Endpoint, payload: bytes) -> bool:
        holders_when_sent.append(len(anna.holders))
        return send(endpoint, payload)

    anna.holders.clear()
    journal.send = noting  # type: ignore[method-assign]
    driver.do(step)
    assert anna.holders == [claim, None]
    assert holders_when_sent == [1]


async def test_whoever_is_vouched_for_is_trusted_before_anything_else_happens(
    clock: MockClock, ground: Ground
) -> None:
    anna, _, driver = await founder(ground)
    key = Identity.generate().public_key
    before = anna.changes.count
    driver.do(anna.node.vouch, key, ALL_RIGHTS)
    assert key in anna.streams._trust.keys.values()
    assert anna.changes.count > before


async def test_notices_go_to_the_log(
    clock: MockClock, ground: Ground, caplog: pytest.LogCaptureFixture
) -> None:
    _, _, driver = await founder(ground)
    with caplog.at_level(logging.INFO):
        driver.do(lambda now: [Tell(Notice("warning", "the clock stood still"))])
    assert [(r.levelname, r.message) for r in caplog.records] == [("WARNING", "the clock stood still")]


async def test_two_members_that_meet_learn_of_each_other(clock: MockClock, ground: Ground) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    anna.found()
    bert.enter(await bert.search().by_host(anna.endpoint, anna.invite()))
    await ground.acquaint(anna, bert)
    assert anna.driver is not None
    assert anna.driver.endpoints(bert.id) == [bert.endpoint]
    assert anna.driver.endpoints(NodeId(b"?" * 16)) == []
    session = await bert.streams.open(anna.id, [anna.endpoint], StreamKind.GOSSIP)
    await session.aclose()


async def test_a_probe_by_stream_is_answered_to_the_node(
    clock: MockClock, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    anna.found()
    bert.enter(await bert.search().by_host(anna.endpoint, anna.invite()))
    await ground.acquaint(anna, bert)
    results: list[tuple[NodeId, int, tuple[bool, ...]]] = []
    answered = trio.Event()

    def probe_result(now: float, to: NodeId, token: int, *outcome: bool) -> list[Effect]:
        results.append((to, token, outcome))
        if len(results) == 2:
            answered.set()
        return []

    monkeypatch.setattr(anna.node, "probe_result", probe_result)
    assert anna.driver is not None
    nobody = Endpoint(bert.endpoint.host, 1)
    anna.driver.do(lambda now: [ProbeStream(bert.id, bert.endpoint, 1), ProbeStream(bert.id, nobody, 2)])
    with trio.fail_after(10):
        await answered.wait()
    outcomes = {token: outcome[0] for _, token, outcome in results}
    assert outcomes == {1: True, 2: False}


async def test_no_more_probes_than_the_bound_are_under_way(
    clock: MockClock, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, _, driver = await founder(ground)
    asked: list[int] = []

    async def silent(*_: object) -> None:
        asked.append(1)
        await trio.sleep_forever()

    monkeypatch.setattr(anna.streams, "probe", silent)
    async with trio.open_nursery() as nursery:
        await nursery.start(driver.run)
        driver.do(lambda now: [ProbeStream(anna.id, SOMEWHERE, n) for n in range(2 * MAX_PROBES)])
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert len(asked) == MAX_PROBES


async def test_a_refused_address_makes_its_member_suspect_at_once(
    clock: MockClock, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    anna.found()
    bert.enter(await bert.search().by_host(anna.endpoint, anna.invite()))
    await ground.acquaint(anna, bert)
    reset: list[NodeId] = []

    def connection_reset(now: float, peer: NodeId) -> list[Effect]:
        reset.append(peer)
        return [Tell(MembersChanged())]

    monkeypatch.setattr(anna.node, "connection_reset", connection_reset)
    assert anna.driver is not None
    anna.driver.refused(Endpoint("192.0.2.77", 50052))
    assert reset == []
    anna.driver.refused(bert.endpoint)
    assert reset == [bert.id]


async def test_what_a_stream_said_of_a_program_counts_no_more_once_its_machine_is_back(
    clock: MockClock, ground: Ground
) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    anna.found()
    bert.enter(await bert.search().by_host(anna.endpoint, anna.invite()))
    anna.streams.versions[bert.id] = too_far = ProgramVersion(Versions(5, 6))
    assert anna.driver is not None
    anna.driver.do(lambda now: [Tell(MembersChanged())])
    assert anna.streams.versions == {bert.id: too_far}, "it was not heard yet"
    await ground.acquaint(anna, bert)
    assert anna.streams.versions == {}


async def test_an_eviction_cuts_the_streams_with_the_evicted_and_tells_both_ends(
    clock: MockClock, ground: Ground
) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    anna.found()
    bert.enter(await bert.search().by_host(anna.endpoint, anna.invite()))
    await ground.acquaint(anna, bert)
    assert anna.driver is not None
    assert bert.driver is not None
    lost: list[NodeId] = []
    expelled: list[str] = []
    anna.driver.on_lost = lambda event: lost.append(event.id)
    bert.driver.on_expelled = lambda event: expelled.append(event.by_name)
    session = await bert.streams.open(anna.id, [anna.endpoint], StreamKind.GOSSIP)
    anna.driver.command(anna.node.evict, bert.id)
    assert lost == [bert.id]
    with pytest.raises(StreamError), trio.fail_after(2):
        await session.receive_message()
    await session.aclose()
    with trio.fail_after(2):
        while not expelled:
            await bert.changes.wait(bert.changes.count, 0.1)
    assert expelled == ["anna"]
    with pytest.raises(StreamError):
        await bert.streams.open(anna.id, [anna.endpoint], StreamKind.GOSSIP)


async def test_members_whose_records_no_datagram_holds_meet(clock: MockClock, ground: Ground) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    for here in (anna, bert):
        here.profile = grown(here.profile)
    anna.found()
    bert.enter(await bert.search().by_host(anna.endpoint, anna.invite()))
    await ground.acquaint(anna, bert)
    for here, other in ((anna, bert), (bert, anna)):
        member = here.node.member(other.id)
        assert member is not None
        assert member.record is not None
        assert len(member.record.profile.models) == len(other.profile.models)
