"""The hosts of a chaos run: who owns, who may come back as what, and which pools can serve."""

from dataclasses import replace
from random import Random

import pytest

from mesh.wire import codec
from mesh.wire.rights import ALL_RIGHTS, Rights
from simulations.hosts import Host
from simulations.population import Population, Trait, traits
from simulations.programs import FORMER, MIXES, PRESENT, Program
from simulations.world import World

OWNER = Trait(ALL_RIGHTS, 50, 200, (0, 1), 1.0, 0.0)
WORKER = Trait(Rights.WORK, 0, 90, (), 1.0, 0.0)


def _pool(*shapes: Trait) -> tuple[World, Population]:
    """A pool in which all have joined the first."""
    world = World(1)
    population = Population(world, shapes)
    world.found(world.hosts[0])
    for host in world.hosts[1:]:
        population.start(host)
    world.run(3.0)
    return world, population


@pytest.mark.parametrize("seed", range(20))
def test_the_first_host_can_found_own_lead_and_serve_and_liars_are_the_last(seed: int) -> None:
    drawn = traits(Random(seed), 6, 2, drift=1.0)
    assert (drawn[0].rights, drawn[0].models, drawn[0].liar) == (ALL_RIGHTS, (0, 1), False)
    assert drawn[0].rank > 0
    assert [trait.liar for trait in drawn] == [False] * 4 + [True] * 2
    assert all(0.55 <= trait.rate <= 1.45 for trait in drawn)
    assert drawn == traits(Random(seed), 6, 2, drift=1.0)


def test_a_host_that_reaches_an_owner_joins_with_its_rights() -> None:
    world, population = _pool(OWNER, WORKER)
    owner, worker = world.hosts
    assert population.is_member(worker)
    assert world.granted[worker.id] == Rights.WORK
    assert (population.may_vouch(owner), population.may_vouch(worker)) == (True, False)


def test_a_host_joins_as_soon_as_an_owner_runs_again() -> None:
    world, population = _pool(OWNER, WORKER)
    owner = world.hosts[0]
    world.crash(owner)
    late = world.hosts[1]
    world.crash(late)
    world.wipe(late)
    population.start(late)
    world.run(5.0)
    assert not population.is_member(late)
    population.start(owner)
    world.run(5.0)
    assert population.is_member(late)


def test_an_evicted_host_comes_back_with_another_key() -> None:
    world, population = _pool(OWNER, OWNER, WORKER)
    owner, other, host = world.hosts
    old = host.id
    world.evict(owner, old)
    assert population.outlaws([owner, other]) == {old}
    world.run(1.0)
    world.crash(host)
    population.start(host)
    world.run(3.0)
    assert host.id != old
    assert population.is_member(host)


def test_a_rollback_goes_back_no_further_than_the_admission_and_is_noted() -> None:
    world, population = _pool(OWNER, OWNER)
    owner = world.hosts[0]
    world.evict(owner, world.hosts[1].id)
    world.run(1.0)
    world.crash(owner)
    population.roll_back(owner, 1000.0)
    assert population.is_member(owner)
    assert population.set_back == {owner.id: world.now}
    assert population.outlaws([owner]) == frozenset()


def _mixed() -> tuple[World, Population]:
    """Two owners in a pool that mixes version 2 with the present program, which both run."""
    world = World(1)
    newer = replace(OWNER, program=1)
    population = Population(world, [newer, newer], MIXES[0])
    world.found(world.hosts[0])
    population.start(world.hosts[1])
    world.run(3.0)
    return world, population


def _mixed_and_crashed() -> tuple[World, Population, Host]:
    """A pool of two programs after five seconds more, and its second host, which crashed with a term."""
    world, population = _mixed()
    host = world.hosts[1]
    world.run(5.0)
    host.disk.write(world.now, "term", codec.pack([7]))
    world.crash(host)
    return world, population, host


def test_hosts_run_their_traits_programs_and_publish_what_these_know() -> None:
    world, population = _mixed()
    assert [host.program for host in world.hosts] == [PRESENT, PRESENT]
    assert population.has_closed
    host = world.hosts[1]
    population.install(host, 0)
    assert (host.program, host.profile.build) == (FORMER, "")
    population.install(host, 7)
    assert (host.program, len(host.profile.devices)) == (PRESENT, 1)
    _, unmixed = _pool(OWNER)
    assert not unmixed.has_closed


def test_a_host_of_version_2_is_set_back_no_further_than_to_when_that_was_installed() -> None:
    world, population, host = _mixed_and_crashed()
    world.run(1.0)
    population.install(host, 0)
    population.roll_back(host, 1000.0)
    assert (host.disk["term"], population.set_back) == (codec.pack([7]), {})
    population.install(host, 1)
    population.roll_back(host, 1000.0)
    assert (host.disk.get("term"), population.set_back) == (None, {host.id: world.now})


def test_a_host_that_was_set_back_goes_back_to_version_2_as_another_member_alone() -> None:
    world, population, host = _mixed_and_crashed()
    population.roll_back(host, 2.0)
    population.install(host, 0)
    assert host.program is PRESENT
    world.wipe(host)
    population.install(host, 0)
    assert host.program is FORMER


@pytest.mark.parametrize(("programs", "some"), [(MIXES[0], False), (MIXES[1], True), ((PRESENT,), True)])
def test_some_may_not_ask_unless_a_member_cannot_read_that(programs: tuple[Program, ...], some: bool) -> None:
    drawn = [trait for seed in range(20) for trait in traits(Random(seed), 6, 1, 1.0, programs)]
    assert any(Rights.NO_ASK in trait.rights for trait in drawn) is some
    assert {trait.program for trait in drawn} == set(range(len(programs)))


def test_a_pool_serves_where_each_that_may_lead_could_place_the_model() -> None:
    world, population = _pool(OWNER, WORKER, WORKER)
    large = population.models[1]
    assert population.served_by(world.hosts, large)
    assert not population.served_by(world.hosts[1:], large)
    small = Trait(ALL_RIGHTS, 50, 90, (0, 1), 1.0, 0.0)
    alone, cramped = _pool(small)
    assert not cramped.served_by(alone.hosts, cramped.models[1])


def test_a_slower_machine_has_a_lower_rank_and_what_would_not_lead_still_does_not() -> None:
    world, population = _pool(OWNER, WORKER)
    owner, worker = world.hosts
    population.change_rank(owner, 0.001)
    population.change_rank(worker, 3.0)
    assert (owner.profile.rank, worker.profile.rank) == (1, 0)
    population.change_accelerator(owner, "cuda")
    assert owner.profile.accelerator_kind == "cuda"
