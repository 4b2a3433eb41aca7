from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from mesh.protocol.base.drop_counters import DropReason
from mesh.protocol.base.effects import LeaderChanged
from mesh.protocol.node.inspect import Inspection
from mesh.wire.facts import Liveness, Record, Suspicion
from mesh.wire.profile import Profile
from mesh.wire.signed_facts import Signed, sign
from simulations.checkers.settled import (
    MOVES,
    Calm,
    disagreement,
    form_limit,
    lawless,
    misformed,
    unlike,
    unrest,
)
from simulations.hosts import Host
from simulations.programs import FORMER, PRESENT, Program
from tests.simulations.checkers.watched import Watched
from tests.simulations.served_pool import ServedPool


def test_a_pool_at_rest_agrees_and_is_calm() -> None:
    pool = Watched()
    assert disagreement(pool.world) == ""
    calm = Calm(pool.world, pool.hosts)
    pool.world.run(10.0)
    assert calm.unrest(3000.0) == []


def test_a_crash_is_disagreement_until_all_have_noticed() -> None:
    pool = Watched()
    pool.world.crash(pool.hosts[2], silent=True)
    assert disagreement(pool.world) == "host0 holds 4 alive, 3 are"
    assert pool.world.run_until(lambda: not disagreement(pool.world), 10.0)


def test_two_leaders_are_disagreement() -> None:
    pool = Watched()
    pool.world.network.sides = {0: 1}
    pool.world.run(15.0)
    assert disagreement(pool.world) == "2 views of the leader"


def test_whoever_runs_outside_of_those_asked_about_must_be_held_gone() -> None:
    pool = Watched()
    assert disagreement(pool.world, pool.hosts[:3]) == "host0 holds 4 alive, 3 are"
    assert disagreement(pool.world, pool.hosts, frozenset({pool.hosts[3].id})) == ""


def test_a_change_of_leader_a_death_and_much_talk_are_no_calm() -> None:
    pool = Watched()
    calm = Calm(pool.world, pool.hosts)
    pool.tell(pool.hosts[1], LeaderChanged(None))
    pool.world.crash(pool.hosts[3])
    pool.world.run(10.0)
    pool.world.bytes_sent[0] += 100_000
    said = "\n".join(calm.unrest(3000.0))
    assert "the leader changed at host1" in said
    assert "host3 turned dead at host0" in said
    assert "host0 sends 1" in said


class Moving(ServedPool):
    """A pool that serves; when its model is moved, much is said."""

    def __init__(self) -> None:
        super().__init__()
        self.deploy()
        assert self.served()
        self.world.run(5.0)

    def talk(self) -> None:
        self.world.bytes_sent[1] += 100_000

    def move(self) -> None:
        leading = self.serving.leading(self.leader())
        assert leading is not None
        assert leading.server is not None
        leading.server.plan = replace(leading.server.plan, batch=leading.server.plan.batch + 1)
        self.talk()

    def change_leader(self) -> None:
        for observer in self.world.observers:
            observer(self.world, self.hosts[1], LeaderChanged(None))

    def later(self, *what: Callable[[], None]) -> None:
        """One of these happens in each of the next calms."""
        for number, happens in enumerate(what):
            self.world.at(self.world.now + 10.0 * number + 5.0, happens)

    def unrest(self) -> list[str]:
        return unrest(self.serving, self.hosts, frozenset(), 10.0, 3000.0)


def test_what_is_said_for_a_move_is_no_unrest() -> None:
    pool = Moving()
    pool.later(pool.move)
    assert pool.unrest() == []


def test_who_says_as_much_without_a_move_is_caught() -> None:
    pool = Moving()
    pool.later(pool.talk)
    assert [said.startswith("host1 sends 1") for said in pool.unrest()] == [True]


def test_who_goes_on_saying_it_after_a_move_is_caught() -> None:
    pool = Moving()
    pool.later(pool.move, pool.talk)
    assert [said.startswith("host1 sends 1") for said in pool.unrest()] == [True]


def test_who_moves_on_and_on_is_caught() -> None:
    pool = Moving()
    pool.later(*[pool.move] * MOVES)
    assert [said.startswith("host1 sends 1") for said in pool.unrest()] == [True]


def test_a_move_excuses_no_change_of_leader() -> None:
    pool = Moving()
    pool.later(pool.move)
    pool.later(pool.change_leader)
    assert "the leader changed at host1" in "\n".join(pool.unrest())


def test_two_who_hold_different_facts_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Watched()
    assert unlike(pool.hosts) == ""
    facts, odd = Inspection.facts, pool.hosts[2].id

    def held(seen: Inspection) -> Iterator[Signed[Any]]:
        """One of them holds a fact of which a byte is different."""
        first, *rest = facts(seen)
        yield replace(first, data=first.data + b"x") if seen.id == odd else first
        yield from rest

    monkeypatch.setattr(Inspection, "facts", held)
    assert unlike(pool.hosts) == "not all hold the same facts"


class Mixed(Watched):
    """Four hosts, the last of version 2; the others publish their builds."""

    def __init__(self) -> None:
        super().__init__()
        for host in self.hosts:
            host.profile = PRESENT.described(host.profile, 1)
            self.world.do(host, "publish", host.profile)
        self.exchange(self.hosts[3], FORMER)
        self.world.run(5.0)

    def exchange(self, host: Host, program: Program) -> None:
        self.world.crash(host)
        host.program, host.profile = program, program.described(host.profile, 1)
        self.world.restart(host)

    def misformed(self, *liars: Host) -> str:
        running = [host for host in self.hosts if host.node is not None]
        return misformed(self.world, running, frozenset(liar.id for liar in liars))


def test_members_sign_in_the_form_of_the_oldest_and_soon_after_its_upgrade_anew() -> None:
    pool = Mixed()
    assert pool.misformed() == ""
    pool.exchange(pool.hosts[3], PRESENT)
    pool.world.run(1.0)
    assert pool.misformed() == "host0 signs in the form of version 2, not of 3"
    pool.world.run(form_limit(pool.world.settings))
    assert pool.misformed() == ""


def test_the_form_of_one_that_died_is_left_as_soon() -> None:
    pool = Mixed()
    pool.world.crash(pool.hosts[3])
    assert pool.world.run_until(lambda: not disagreement(pool.world), 10.0)
    pool.world.run(form_limit(pool.world.settings))
    assert pool.misformed() == ""


def test_whatever_a_liar_says_it_speaks_is_what_counts_of_it() -> None:
    pool = Mixed()
    pool.hosts[3].program = PRESENT
    assert pool.misformed() == "host0 signs in the form of version 2, not of 3"
    assert misformed(pool.world, pool.hosts[:3], frozenset({pool.hosts[3].id})) == ""


def test_one_of_version_2_need_not_hold_what_it_cannot_read_but_all_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = Mixed()
    older, newer = pool.hosts[3], pool.hosts[0]
    assert newer.node is not None
    profile = PRESENT.described(Profile(), 1)
    record = sign(Record(newer.node._context.pool, newer.id, 9, bytes(8), 1, False, profile), newer.signer)
    suspicion = sign(Suspicion(record.fact.pool, newer.id, newer.id, 9, 0), newer.signer)
    life = sign(Liveness(record.fact.pool, newer.id, 9, 1), newer.signer)
    facts, more = Inspection.facts, [record, suspicion]
    monkeypatch.setattr(
        Inspection, "facts", lambda seen: [*facts(seen), *(more if seen.id != older.id else [])]
    )
    assert unlike(pool.hosts) == ""
    more.append(life)
    assert unlike(pool.hosts) == "those of version 2 lack facts that they can read"


def test_who_gets_what_it_cannot_read_is_not_calm() -> None:
    pool = Watched()
    calm = Calm(pool.world, pool.hosts)
    node = pool.hosts[2].node
    assert node is not None
    for reason in (DropReason.MALFORMED_FACT, DropReason.MALFORMED, DropReason.FORGED_FACT):
        node.drops.count(reason, "somewhere")
    pool.world.run(5.0)
    assert calm.unrest(3000.0) == ["host2 got 3 facts or datagrams that it could not read"]


def test_who_holds_an_evicted_member_is_caught() -> None:
    pool = Watched()
    out = pool.hosts[3].id
    assert lawless(pool.hosts, frozenset()) == ""
    assert lawless(pool.hosts, frozenset({out})) == "host0 holds a member that an owner evicted"
    pool.world.evict(pool.hosts[0], out)
    pool.world.run(2.0)
    assert lawless(pool.hosts[:3], frozenset({out})) == ""


def test_two_who_hold_different_members_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Watched()
    roster, odd = Inspection.roster, pool.hosts[2].id
    monkeypatch.setattr(Inspection, "roster", lambda seen: {} if seen.id == odd else roster(seen))
    assert lawless(pool.hosts, frozenset()).startswith("host0 and host2 do not")
