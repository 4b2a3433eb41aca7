from collections.abc import Callable

import pytest

from mesh.protocol.node.node import Node
from mesh.wire.identity import NodeId
from mesh.wire.rights import ALL_RIGHTS
from simulations.checkers.verdicts import Excuses
from simulations.faults import Fault, Storm
from simulations.hosts import Host
from simulations.leading import Serving
from simulations.liars import Lies
from simulations.population import CONTEXT, Population, Trait
from simulations.programs import MIXES, NEXT, PRESENT, Program
from simulations.unruly import Manner
from simulations.world import World


class Scene:
    """Four hosts that lead and work, and a storm to let loose on them."""

    def __init__(self, programs: tuple[Program, ...] = (PRESENT,), program: int = 0) -> None:
        self.world = World(5)
        traits = [
            Trait(ALL_RIGHTS, 50 - number, 90, (0, 1), 1.0, 0.0, program=program) for number in range(4)
        ]
        self.pool = Population(self.world, traits, programs)
        self.serving = Serving(self.world, self.pool.shapes)
        self.excuses = Excuses()
        self.notes: list[str] = []
        lies = Lies(self.world, 5)
        self.storm = Storm(self.world, self.pool, self.serving, lies, self.excuses, self.notes.append)
        self.hosts = self.world.hosts
        self.world.found(self.hosts[0])
        for host in self.hosts[1:]:
            self.pool.start(host)
        self.world.run(5.0)

    def strike(
        self, kind: str, *hosts: int, others: tuple[int, ...] = (), value: float = 0.0, lasts: float = 0.0
    ) -> None:
        """One fault now, and the moment in which it strikes."""
        self.storm.strike([Fault(0.0, kind, hosts, others, value, lasts)])
        self.world.run(0.0)

    def runs(self, number: int) -> bool:
        return self.hosts[number].node is not None

    def joins(self, a: int, b: int) -> bool:
        return self.world.network.connects(a, b)


@pytest.mark.parametrize(("kind", "answers"), [("crash", True), ("power", False)])
def test_a_crashed_process_comes_back_and_its_kernel_answers_unless_the_power_is_off(
    kind: str, answers: bool
) -> None:
    scene = Scene()
    scene.strike(kind, 2, lasts=3.0)
    assert not scene.runs(2)
    assert scene.hosts[2].powered is answers
    scene.world.run(3.5)
    assert scene.runs(2)
    assert scene.hosts[2].powered


def test_a_process_dies_over_what_it_writes_next_and_comes_back() -> None:
    scene = Scene()
    scene.strike("tear", 1, lasts=3.0)
    scene.world.run(2.0)
    assert scene.runs(1)
    scene.strike("deploy", 1, value=1.0)
    assert not scene.runs(1)
    assert "host1 died over a write" in scene.notes
    sent = scene.world.bytes_sent[1]
    scene.world.run(2.9)
    assert scene.world.bytes_sent[1] == sent
    scene.world.run(0.2)
    assert scene.runs(1)


def test_one_that_does_not_run_dies_over_what_its_next_process_writes() -> None:
    scene = Scene()
    scene.world.crash(scene.hosts[2])
    scene.strike("tear", 2, lasts=1.0)
    scene.world.restart(scene.hosts[2])
    assert not scene.runs(2)
    scene.world.run(1.1)
    assert scene.runs(2)


def test_a_host_evicted_before_it_stored_its_admission_comes_back_with_a_new_key() -> None:
    scene = Scene()
    scene.world.crash(scene.hosts[3])
    scene.world.wipe(scene.hosts[3])
    newcomer = scene.hosts[3].id
    scene.strike("tear", 3, lasts=30.0)
    scene.world._draw = lambda: 0.9  # it dies before it writes
    scene.pool.start(scene.hosts[3])
    assert not scene.pool.is_member(scene.hosts[3])
    scene.world.evict(scene.hosts[0], newcomer)
    scene.pool.start(scene.hosts[3])
    assert scene.hosts[3].id != newcomer
    scene.world.run(5.0)
    assert _state(scene.hosts[0], scene.hosts[3]) == "alive"


def test_nobody_dies_over_a_write_once_the_storm_is_over() -> None:
    scene = Scene()
    scene.strike("tear", 1)
    scene.storm.end()
    scene.world.do(scene.hosts[1], "deploy", scene.pool.models[1], CONTEXT, 1, True)
    assert scene.runs(1)


def test_all_restart_one_after_another() -> None:
    scene = Scene()
    scene.strike("restart all", value=1.0, lasts=2.0)
    assert scene.world.running() == []
    scene.world.run(3.5)
    assert [host.number for host in scene.world.running()] == [0, 1]
    scene.world.run(2.0)
    assert len(scene.world.running()) == 4


def test_a_paused_process_does_nothing_until_its_pause_is_over() -> None:
    scene = Scene()
    scene.strike("pause", 1, lasts=5.0)
    sent = scene.world.bytes_sent[1]
    scene.world.run(4.9)
    assert scene.world.bytes_sent[1] == sent
    scene.world.run(1.0)
    assert scene.world.bytes_sent[1] > sent


def test_a_slow_loop_stands_still_again_and_again() -> None:
    scene = Scene()
    scene.strike("stutter", 1, value=0.5, lasts=6.0)
    until = set()
    for _ in range(60):
        scene.world.run(0.1)
        until.add(scene.hosts[1].paused_until)
    assert len(until) == 4


def test_a_wiped_host_is_another_member_when_it_is_back() -> None:
    scene = Scene()
    before = scene.hosts[3].id
    scene.strike("wipe", 3, lasts=1.0)
    assert scene.hosts[3].disk == {}
    scene.world.run(2.0)
    assert scene.runs(3)
    assert scene.hosts[3].id != before


def test_a_disk_that_was_rolled_back_is_noted() -> None:
    scene = Scene()
    scene.world.crash(scene.hosts[2])
    scene.world.restart(scene.hosts[2])
    generation = scene.hosts[2].disk["incarnation"]
    scene.strike("roll back", 2, value=4.0, lasts=1.0)
    assert scene.hosts[2].disk["incarnation"] < generation
    assert scene.hosts[2].id in scene.pool.set_back
    scene.world.run(2.0)
    assert scene.runs(2)


def test_one_who_leaves_says_so_and_comes_back() -> None:
    scene = Scene()
    scene.strike("leave", 2, lasts=5.0)
    scene.world.run(2.0)
    assert _state(scene.hosts[0], scene.hosts[2]) == "left"
    scene.world.run(5.0)
    assert _state(scene.hosts[0], scene.hosts[2]) == "alive"


def test_who_is_evicted_comes_back_with_a_new_key() -> None:
    scene = Scene()
    before = scene.hosts[3].id
    scene.strike("evict", 1, others=(3,), lasts=5.0)
    assert scene.world.is_disputed(before)
    assert scene.pool.outlaws(scene.hosts) == {before}
    scene.world.run(3.0)
    assert before not in _node(scene.hosts[0]).inspect().roster()
    scene.world.run(5.0)
    assert scene.hosts[3].id != before
    assert scene.hosts[3].id in _node(scene.hosts[0]).inspect().roster()
    assert not scene.world.is_disputed(scene.hosts[3].id)


def test_whom_an_evicted_owner_vouched_for_is_disputed_with_it() -> None:
    scene = Scene()
    newcomer = scene.world.add(rank=1)
    scene.world.join(newcomer, scene.hosts[2])
    scene.strike("evict", 1, others=(2,))
    assert scene.world.is_disputed(newcomer.id)
    assert not scene.world.is_disputed(scene.hosts[1].id)


def test_what_an_owner_said_before_its_disk_was_rolled_back_may_be_forgotten() -> None:
    scene = Scene()
    scene.strike("evict", 1, others=(3,), lasts=60.0)
    scene.world.run(1.0)
    scene.strike("roll back", 1, value=0.5)
    assert scene.pool.outlaws(scene.hosts) == frozenset()


def _node(host: Host) -> Node:
    assert host.node is not None
    return host.node


def _state(at: Host, of: Host) -> str:
    assert at.node is not None
    return next(member.state for member in at.node.members() if member.id == of.id)


def test_clocks_leap_and_drift() -> None:
    scene = Scene()
    host = scene.hosts[1]
    before = host.local(scene.world.now)
    scene.strike("jump", 1, value=30.0)
    assert host.local(scene.world.now) == pytest.approx(before + 30.0)
    assert host.id in scene.excuses.jumped
    scene.strike("rate", 1, value=1.009)
    assert host.rate == 1.009


@pytest.mark.parametrize(
    ("kind", "cut", "whole"),
    [
        ("partition", [(0, 2), (2, 0), (1, 3)], [(0, 1), (2, 3)]),
        ("one way", [(0, 2), (1, 3)], [(2, 0), (3, 1)]),
        ("bridge", [(0, 2), (2, 0)], [(0, 1), (2, 3)]),
    ],
)
def test_networks_part_and_come_together(
    kind: str, cut: list[tuple[int, int]], whole: list[tuple[int, int]]
) -> None:
    scene = Scene()
    scene.strike(kind, 0, 1, others=(2, 3), lasts=2.0)
    assert not any(scene.joins(*pair) for pair in cut)
    assert all(scene.joins(*pair) for pair in whole)
    scene.world.run(2.1)
    assert all(scene.joins(*pair) for pair in cut)


@pytest.mark.parametrize(
    ("kind", "value", "holds"),
    [
        ("loss", 0.4, lambda path: path.loss == pytest.approx(0.4)),
        ("duplicate", 0.4, lambda path: path.duplicate == 0.4),
        ("corrupt", 0.4, lambda path: path.corrupt == 0.4),
        ("truncate", 0.4, lambda path: path.truncate == 0.4),
        ("tail", 0.05, lambda path: path.tail == 0.05),
        ("delay", 0.4, lambda path: path.delay == 0.4),
        ("mtu", 576.0, lambda path: path.mtu == 576),
        ("weights", 2000.0, lambda path: path.rate == 2000.0),
        ("clog", 0.0, lambda path: path.holds_until > 0.0),
    ],
)
def test_links_go_bad_and_good_again(kind: str, value: float, holds: Callable[[object], bool]) -> None:
    scene = Scene()
    scene.strike(kind, 1, value=value, lasts=2.0)
    assert holds(scene.world.network.path(1, 2))
    scene.world.run(2.1)
    assert not holds(scene.world.network.path(1, 2))


def test_a_fault_of_unknown_kind_is_an_error() -> None:
    scene = Scene()
    with pytest.raises(ValueError, match="no kind of fault: flood"):
        scene.strike("flood", 1)


def test_two_faults_on_one_link_end_each_at_its_time() -> None:
    scene = Scene()
    scene.storm.strike(
        [Fault(0.0, "mtu", (1,), value=576.0, lasts=4.0), Fault(0.0, "delay", (1,), value=0.1, lasts=1.0)]
    )
    scene.world.run(2.0)
    path = scene.world.network.path(1, 2)
    assert (path.mtu, path.delay) == (576, 0.0)


def test_when_a_storm_ends_links_are_whole_and_nothing_strikes_any_more() -> None:
    scene = Scene()
    scene.storm.strike([Fault(0.0, "loss", value=0.5, lasts=50.0), Fault(2.0, "crash", (1,), lasts=1.0)])
    scene.world.run(1.0)
    scene.storm.end()
    assert scene.world.network.faults == ()
    scene.world.run(5.0)
    assert scene.runs(1)
    assert scene.notes == ["loss 0.5 for 50.0 s"]


def test_people_deploy_and_hand_over_and_machines_change() -> None:
    scene = Scene()
    node = scene.hosts[2].node
    assert node is not None
    scene.strike("deploy", 2, value=1.0)
    deployment = node.deployment()
    assert deployment is not None
    assert deployment.model == scene.pool.models[1]
    scene.strike("hand over", 3)
    scene.world.run(2.0)
    leader = node.leader()
    assert leader is not None
    assert leader.author == scene.hosts[3].id
    scene.strike("profile", 2, value=3.0)
    assert scene.hosts[2].profile.rank == 144


def test_a_host_runs_another_program_after_its_upgrade_whether_it_ran_or_not() -> None:
    scene = Scene(MIXES[1])
    assert {host.program for host in scene.hosts} == {PRESENT}
    scene.world.crash(scene.hosts[3])
    scene.strike("upgrade", 2, 3, value=1.0, lasts=1.0)
    assert [scene.hosts[number].program for number in (1, 2, 3)] == [PRESENT, NEXT, NEXT]
    assert not scene.runs(2)
    scene.world.run(5.0)
    member = _node(scene.hosts[0]).member(scene.hosts[2].id)
    assert (scene.runs(2), scene.runs(3)) == (True, False)
    assert member is not None
    assert member.speaks == NEXT.speaks
    scene.strike("upgrade", 2, value=0.0, lasts=0.1)
    scene.strike("restore", 2, value=7.0)
    scene.world.run(5.0)
    assert (scene.hosts[2].program, scene.runs(2)) == (PRESENT, True)
    assert scene.pool.set_back.keys() == {scene.hosts[2].id}


def test_an_owner_chooses_an_engine_where_all_can_read_that() -> None:
    scene = Scene()
    scene.strike("choose engine", 2, value=1.0)
    scene.world.run(2.0)
    assert {_release(host) for host in scene.hosts} == {"b1"}
    scene.storm.strike([Fault(0.0, "choose engine", (3,), value=2.0)])
    scene.world.run(2.0)
    assert {_release(host) for host in scene.hosts} == {"b2"}


@pytest.mark.parametrize("older", [0, 1])
def test_nobody_chooses_an_engine_where_one_of_version_2_is_or_may_come(older: int) -> None:
    scene = Scene(MIXES[0], 1)
    if older:
        scene.strike("upgrade", 3, value=0.0)
        scene.world.run(5.0)
    assert _node(scene.hosts[2]).inspect().form() == (2 if older else 3)
    scene.strike("choose engine", 2, value=1.0)
    scene.world.run(2.0)
    assert {_release(host) for host in scene.hosts} == {None}


def _release(host: Host) -> str | None:
    engine = _node(host).pool_engine()
    return None if engine is None else engine.release


def test_a_worker_misbehaves_for_a_while_is_left_out_and_told() -> None:
    scene = Scene()
    scene.world.do(scene.hosts[0], "deploy", scene.pool.models[0], CONTEXT, 1, True)
    scene.world.run(10.0)
    leading = scene.serving.leading(scene.hosts[0])
    assert leading is not None
    assert leading.server is not None
    used = scene.world.host_of(NodeId(leading.server.plan.workers[0]))
    scene.strike("unruly", used.number, value=0.0, lasts=30.0)
    leading.server.abort("so that it is loaded again")
    scene.world.run(8.0)
    state = _node(scene.hosts[1]).pool_state()
    assert state is not None
    assert {(one.member, one.reason) for one in state.quarantines} == {
        (used.id, "the worker's rpc-server ended")
    }
    scene.world.run(30.0)
    assert scene.serving.manners.of(used) is Manner.GOOD


def test_when_all_streams_of_a_leader_break_at_once_nobody_is_left_out() -> None:
    scene = Scene()
    scene.world.do(scene.hosts[0], "deploy", scene.pool.models[1], CONTEXT, 1, True)
    scene.world.run(10.0)
    scene.strike("drop streams")
    scene.world.run(15.0)
    state = _node(scene.hosts[1]).pool_state()
    assert state is not None
    assert (state.phase, state.quarantines) == ("ready", ())


def test_an_engine_in_use_dies() -> None:
    scene = Scene()
    scene.world.do(scene.hosts[0], "deploy", scene.pool.models[1], CONTEXT, 1, True)
    scene.world.run(8.0)
    busy = [
        host.number for host in scene.hosts if (gate := scene.serving.gate(host)) is not None and gate.busy
    ]
    assert busy
    scene.strike("engine", *busy)
    gates = [scene.serving.gate(scene.hosts[number]) for number in busy]
    assert not any(gate is not None and gate.busy for gate in gates)


@pytest.mark.parametrize(
    "kind", ["crash", "pause", "roll back", "leave", "wipe", "engine", "profile", "jump"]
)
def test_a_fault_that_finds_nothing_to_strike_does_nothing(kind: str) -> None:
    scene = Scene()
    scene.world.crash(scene.hosts[2])
    run = scene.hosts[2].run
    scene.strike(kind, 2, value=1.0, lasts=1.0)
    scene.world.run(3.0)
    assert scene.hosts[2].run == run
    assert not scene.runs(2)


def test_a_machine_that_gets_another_address_loses_its_streams_and_tells_of_it_later() -> None:
    scene = Scene()
    scene.world.do(scene.hosts[0], "deploy", scene.pool.models[0], CONTEXT, 1, True)
    scene.world.run(5.0)
    leading = scene.serving.leading(scene.hosts[0])
    assert leading is not None
    server = leading.server
    assert server is not None
    scene.strike("readdress", 0, value=2.0)
    assert server.phase == "failed"
    scene.world.run(1.9)
    node = scene.hosts[3].node
    assert node is not None

    def told() -> bool:
        record = next(m.record for m in node.members() if m.id == scene.hosts[0].id)
        return record is not None and record.profile.addresses == (scene.hosts[0].address,)

    assert not told()
    scene.storm.end()
    scene.world.run(2.0)
    assert told()
