import random

import pytest

from mesh.protocol.base.effects import (
    Event,
    LeaderChanged,
    Notice,
    Persist,
    Send,
    SendStream,
    SetTimer,
    Tell,
    Timer,
)
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError
from mesh.wire.rights import Rights
from simulations.checkers import Checkers, disagreement
from simulations.world import Host, World
from tests.mesh.protocol.stage import grown


def _pool(count: int, seed: int = 1) -> tuple[World, list[Host], Checkers]:
    world = World(seed)
    checkers = Checkers(world)
    hosts = [world.add(rank=10) for _ in range(count)]
    world.found(hosts[0])
    world.run(1.0)
    for host in hosts[1:]:
        world.join(host, hosts[0])
    return world, hosts, checkers


def _agreed(world: World) -> bool:
    return not disagreement(world)


def _leader(world: World) -> Host:
    node = world.running()[0].node
    assert node is not None
    claim = node.leader()
    assert claim is not None
    return world.host_of(claim.author)


def _state(at: Host, of: Host) -> str:
    assert at.node is not None
    return next(m.state for m in at.node.members() if m.id == of.id)


@pytest.mark.parametrize("count", [2, 3, 5, 20])
def test_all_who_join_at_once_know_each_other_within_a_second(count: int) -> None:
    world, _, _ = _pool(count)
    assert world.run_until(lambda: _agreed(world), limit=1.0)


@pytest.mark.parametrize("seed", range(5))
def test_after_a_crash_of_the_leader_another_leads_within_three_seconds(seed: int) -> None:
    world, _, checkers = _pool(4, seed)
    world.run(5.0)
    world.crash(_leader(world))
    assert world.run_until(lambda: _agreed(world), limit=3.0)
    assert checkers.violations == []


@pytest.mark.parametrize("seed", range(5))
def test_a_machine_that_vanishes_without_a_trace_is_dead_everywhere_in_five_seconds(seed: int) -> None:
    world, hosts, _ = _pool(5, seed)
    world.run(5.0)
    gone = hosts[2]
    world.network.sides[gone.number] = 1
    others = [host for host in hosts if host is not gone]
    assert world.run_until(lambda: all(_state(o, gone) == "dead" for o in others), limit=5.0)


def test_a_process_that_stands_still_for_a_second_is_not_held_dead() -> None:
    world, hosts, _ = _pool(10)
    world.run(5.0)
    for paused in hosts[1:6]:
        world.pause(paused, 1.0)
        for _ in range(40):
            world.run(0.1)
            assert "dead" not in {_state(host, other) for host in hosts for other in hosts}


def test_a_process_that_stood_still_for_five_seconds_comes_back_and_blames_nobody() -> None:
    world, hosts, _ = _pool(6)
    world.run(5.0)
    world.pause(hosts[3], 5.0)
    world.run(5.0)
    for _ in range(20):
        world.run(0.1)
        assert "dead" not in {_state(hosts[3], other) for other in hosts}
    assert world.run_until(lambda: _agreed(world), limit=0.5)


def test_a_process_that_stood_still_learns_that_time_passed_before_it_reads_its_mail() -> None:
    world, hosts, _ = _pool(2)
    assert world.run_until(lambda: _agreed(world), limit=5.0)
    order: list[str] = []
    world.pause(hosts[1], 1.0)
    node = hosts[1].node
    assert node is not None
    fire, receive = node.fire, node.receive
    node.fire = lambda *given: order.append("timer") or fire(*given)  # type: ignore[method-assign, func-returns-value]
    node.receive = lambda *given: order.append("mail") or receive(*given)  # type: ignore[method-assign, func-returns-value]
    world.run(1.0)
    assert set(order) == {"timer", "mail"}
    assert order == sorted(order, reverse=True)


@pytest.mark.parametrize("seed", range(4))
def test_a_parted_network_has_two_leaders_and_a_healed_one_has_one(seed: int) -> None:
    world, hosts, checkers = _pool(6, seed)
    world.run(5.0)
    world.network.sides = {host.number: host.number % 2 for host in hosts}
    world.run(10.0)
    leaders = {host.node.leader() for host in hosts if host.node is not None}
    assert len(leaders) == 2
    world.network.sides = {}
    assert world.run_until(lambda: _agreed(world), limit=5.0)
    assert checkers.violations == []


def test_leadership_passes_quickly_and_takes_the_workers_along() -> None:
    world, hosts, checkers = _pool(4)
    world.run(3.0)
    leader = _leader(world)
    heir = next(host for host in hosts if host is not leader)
    everyone = frozenset(host.id for host in hosts)
    assert leader.node is not None
    assert heir.node is not None
    world.perform(leader, leader.node.want_leases(world.now, everyone))
    world.run(0.5)
    assert leader.node.leases(world.now) == everyone
    world.perform(leader, leader.node.hand_over(world.now, heir.id))
    assert leader.node.leases(world.now) == frozenset()
    assert world.run_until(lambda: _agreed(world), limit=0.5)
    assert _leader(world) is heir
    world.perform(heir, heir.node.want_leases(world.now, everyone))
    world.run(0.5)
    assert heir.node.leases(world.now) == everyone
    assert checkers.violations == []


def test_a_worker_is_free_soon_after_its_leader_crashed() -> None:
    world, hosts, checkers = _pool(3)
    world.run(3.0)
    leader = _leader(world)
    assert leader.node is not None
    world.perform(leader, leader.node.want_leases(world.now, {host.id for host in hosts}))
    world.run(1.0)
    world.crash(leader)
    assert world.run_until(lambda: _agreed(world), limit=3.0)
    successor = _leader(world)
    living = {host.id for host in world.running()}
    assert successor.node is not None
    world.perform(successor, successor.node.want_leases(world.now, living))
    world.run(1.0)
    assert successor.node.leases(world.now) == living
    assert checkers.violations == []


def test_whoever_leaves_has_left_and_is_back_when_it_starts_again() -> None:
    world, hosts, _ = _pool(5)
    world.run(3.0)
    world.leave(hosts[2])
    world.run(1.0)
    others = [host for host in hosts if host is not hosts[2]]
    assert {_state(other, hosts[2]) for other in others} == {"left"}
    world.run(10.0)
    world.restart(hosts[2])
    assert world.run_until(lambda: _agreed(world), limit=1.0)


def test_when_the_leader_leaves_the_next_leads_within_a_second() -> None:
    world, _, _ = _pool(4)
    world.run(3.0)
    world.leave(_leader(world))
    assert world.run_until(lambda: _agreed(world), limit=1.0)


def test_all_restart_at_once_and_agree_on_a_higher_term() -> None:
    world, hosts, checkers = _pool(5)
    world.run(3.0)
    before = hosts[0].node.leader() if hosts[0].node is not None else None
    for host in hosts:
        world.crash(host)
    world.run(1.0)
    for host in hosts:
        world.restart(host)
    assert world.run_until(lambda: _agreed(world), limit=5.0)
    after = hosts[0].node.leader() if hosts[0].node is not None else None
    assert before is not None
    assert after is not None
    assert after.term > before.term
    assert checkers.violations == []


def test_a_tenth_of_all_datagrams_lost_kills_nobody() -> None:
    world, hosts, _ = _pool(10)
    world.run(3.0)
    world.network.loss = 0.1
    for _ in range(60):
        world.run(1.0)
        assert "dead" not in {_state(host, other) for host in hosts for other in hosts}


def test_an_idle_node_of_ten_sends_less_than_a_thousand_bytes_a_second() -> None:
    world, _, _ = _pool(10)
    world.run(10.0)
    world.bytes_sent.clear()
    world.run(60.0)
    assert max(world.bytes_sent.values()) / 60 <= 1000


def test_a_volunteer_never_leads() -> None:
    world = World(1)
    founder, volunteer = world.add(rank=1), world.add(rank=100)
    world.found(founder)
    world.run(1.0)
    world.join(volunteer, founder, Rights.WORK)
    world.run(3.0)
    world.crash(founder)
    world.run(10.0)
    assert volunteer.node is not None
    assert volunteer.node.leader() is None


def test_the_same_seed_gives_the_same_run() -> None:
    def run() -> list[str]:
        told: list[str] = []
        world = World(9)
        world.observers.append(lambda w, host, event: told.append(f"{w.now} {host.number} {event}"))
        first = world.add()
        world.found(first)
        world.run(1.0)
        for _ in range(3):
            world.join(world.add(), first)
        world.run(5.0)
        world.crash(first)
        world.run(5.0)
        return told

    told = run()
    assert told == run()
    assert any(LeaderChanged.__name__ in line for line in told)


def test_a_machine_with_another_address_is_found_there_and_never_held_dead() -> None:
    world, hosts, checkers = _pool(5)
    world.run(5.0)
    moved = hosts[2]
    before = moved.address
    world.readdress([moved])
    assert moved.address != before
    for _ in range(100):
        world.run(0.1)
        assert "dead" not in {_state(host, moved) for host in hosts}
    world.do(moved, "publish", moved.profile)
    world.run(2.0)
    assert all(
        m.endpoint == moved.address for h in hosts if h.node for m in h.node.members() if m.id == moved.id
    )
    assert checkers.violations == []


def test_machines_that_get_each_others_addresses_are_told_apart_by_their_keys() -> None:
    world, hosts, checkers = _pool(5)
    world.run(5.0)
    one, other = hosts[1].address, hosts[3].address
    world.readdress([hosts[1], hosts[3]])
    assert (hosts[1].address, hosts[3].address) == (other, one)
    for host in (hosts[1], hosts[3]):
        world.do(host, "publish", host.profile)
    assert world.run_until(lambda: _agreed(world), limit=5.0)
    world.run(5.0)
    assert _agreed(world)
    assert checkers.violations == []


class _Coin(random.Random):
    """Falls as it is told, and is else as random as any."""

    def __init__(self, written: bool) -> None:
        super().__init__(1)
        self.written = written

    def random(self) -> float:
        return 0.0 if self.written else 0.9


def _torn(world: World, host: Host, written: bool) -> list[str]:
    """Let that host die over its next write, before or after it; gets told when it did."""
    died: list[str] = []
    host.torn = lambda: died.append("died")
    world._draw = _Coin(written).random
    return died


@pytest.mark.parametrize("written", [True, False])
def test_a_process_that_dies_over_a_write_does_nothing_after_it(written: bool) -> None:
    world, hosts, _ = _pool(2)
    world.run(5.0)
    died = _torn(world, hosts[1], written)
    sent: list[Host] = []
    world.taps.append(lambda source, target, payload: sent.append(source))
    told: list[Event] = []
    world.observers.append(lambda world, host, event: told.append(event))
    before, heap = dict(hosts[1].disk), len(world._heap)
    target = hosts[0].address
    world.perform(
        hosts[1],
        [
            Send(None, target, b"first"),
            Persist("one", b"1"),
            Persist("two", b"2"),
            Send(None, target, b"second"),
            SetTimer(Timer("kind", b"", 1), world.now + 1.0),
            Tell(Notice("info", "third")),
        ],
    )
    assert died == ["died"]
    assert hosts[1].node is None
    assert hosts[1].torn is None
    assert hosts[1].disk == (before | {"one": b"1"} if written else before)
    assert sent == [hosts[1]]
    assert told == []
    assert len(world._heap) == heap + 1


@pytest.mark.parametrize("written", [True, False])
def test_an_act_that_its_owner_died_over_is_one_only_if_it_is_on_the_disk(written: bool) -> None:
    world, hosts, _ = _pool(3)
    world.run(5.0)
    owner, victim = hosts[1], hosts[2]
    died = _torn(world, owner, written)
    with pytest.raises(MeshError, match="died"):
        world.evict(owner, victim.id)
    assert died
    assert owner.disk["act"] if written else "act" not in owner.disk
    assert not world.is_disputed(victim.id)  # the head of its chain comes first, then the act itself
    world.restart(owner)
    world.run(5.0)
    world.evict(owner, victim.id)
    assert world.is_disputed(victim.id)
    world.run(2.0)
    assert hosts[0].node is not None
    assert victim.id not in hosts[0].node.inspect().roster()


def test_whoever_is_let_in_by_one_who_dies_over_it_may_come_in_by_another() -> None:
    world, hosts, checkers = _pool(2)
    world.run(5.0)
    newcomer = world.add(rank=10)
    died = _torn(world, hosts[1], written=False)
    with pytest.raises(MeshError, match="died"):
        world.join(newcomer, hosts[1])
    assert died
    assert newcomer.node is None
    world.join(newcomer, hosts[0])
    world.restart(hosts[1])
    assert world.run_until(lambda: _agreed(world), limit=5.0)
    assert checkers.violations == []


def test_a_newcomer_that_dies_over_its_admission_does_not_start() -> None:
    world, hosts, _ = _pool(2)
    newcomer = world.add(rank=10)
    died = _torn(world, newcomer, written=False)
    world.join(newcomer, hosts[0])
    assert died
    assert newcomer.node is None
    assert newcomer.disk == {}


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_a_pool_whose_records_no_datagram_holds_knows_all_records(loss: float) -> None:
    world = World(1)
    world.network.loss = loss
    hosts = [world.add(rank=10) for _ in range(12)]
    for host in hosts:
        host.profile = grown(host.profile)
    world.found(hosts[0])
    world.run(1.0)
    for host in hosts[1:]:
        world.join(host, hosts[0])
    assert world.run_until(lambda: _agreed(world), limit=3.0 if loss else 1.0)
    for host in hosts:
        assert host.node is not None
        records = [member.record for member in host.node.members()]
        assert [record and len(record.profile.devices) for record in records] == [8] * len(hosts)


def test_a_stream_reaches_a_member_only_at_an_address_that_the_sender_knows() -> None:
    world = World(1)
    one, other = world.add(), world.add()
    for host in (one, other):
        world.found(host)  # a pool each: neither knows where the other is
    for endpoint, carried in ((Endpoint("10.9.9.9", 1), 0), (one.address, 0), (other.address, 10)):
        before = world.bytes_sent[one.number]
        world.perform(one, [SendStream(other.id, endpoint, bytes(10))])
        assert world.bytes_sent[one.number] - before == carried
