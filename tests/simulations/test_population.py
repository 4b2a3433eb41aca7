"""The hosts of a chaos run: who owns, who may come back as what, and which pools can serve."""

from random import Random

import pytest

from mesh.wire.rights import ALL_RIGHTS, Rights
from simulations.population import Population, Trait, traits
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
