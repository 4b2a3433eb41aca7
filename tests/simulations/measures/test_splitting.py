import math
import random
from dataclasses import dataclass

import pytest

from simulations.measures.branches import in_branch
from simulations.measures.splitting import HIT, OUT, THROUGH, Estimate, Tree, estimate, grow

UP = 0.3
TOP = 8


@dataclass
class Walk:
    """A walk on 0..TOP that goes up with probability UP, else down, and is over at either end."""

    source: random.Random
    at: int = 1


def advance(walk: Walk, stage: int) -> str:
    """Stage by stage one step higher; a hit at the top."""
    while True:
        if walk.at == TOP:
            return HIT
        if walk.at == 0:
            return OUT
        if walk.at >= stage + 2:
            return THROUGH
        walk.at += 1 if walk.source.random() < UP else -1


def reseed(walk: Walk, seed: int) -> None:
    walk.source.seed(seed)


def chance_of_ruin() -> float:
    """P(top before bottom | start at 1), the gambler's ruin in closed form."""
    odds = (1 - UP) / UP
    return (odds - 1) / (odds**TOP - 1)


def tree(seed: int, forked: bool = False) -> Tree:
    walk = Walk(random.Random(seed))

    def in_copy(function):  # type: ignore[no-untyped-def]
        source, at = walk.source.getstate(), walk.at
        try:
            return function()
        finally:
            walk.source.setstate(source)
            walk.at = at

    isolated = in_branch if forked else in_copy
    return grow(walk, TOP - 1, [3] * (TOP - 2), advance, isolated, reseed, random.Random(seed))


@pytest.fixture(scope="module")
def found() -> Estimate:
    return estimate([tree(seed) for seed in range(2000)])


def test_splitting_finds_the_chance_of_a_gamblers_ruin(found: Estimate) -> None:
    truth = chance_of_ruin()
    assert truth < 2e-3
    assert found.hits > 100
    assert abs(found.probability - truth) < 3.5 * found.error
    assert truth < found.upper < 2 * truth


def test_splitting_is_surer_than_waiting_for_as_many_trees(found: Estimate) -> None:
    truth = chance_of_ruin()
    assert found.error < 0.7 * math.sqrt(truth * (1 - truth) / found.trees)


def test_each_stage_is_told(found: Estimate) -> None:
    assert found.stages[0]["tried"] == 2000
    assert found.stages[1]["tried"] == 3 * found.stages[0]["through"]
    assert found.stages[0]["through"] / 2000 == pytest.approx(UP, abs=0.03)


def test_forked_processes_grow_trees_too() -> None:
    trees = [tree(seed, forked=True) for seed in range(25)]
    assert sum(each.through[0] for each in trees) > 0
    assert sum(each.tried[1] for each in trees) == 3 * sum(each.through[0] for each in trees)


def test_trees_without_a_hit_still_bound_the_chance() -> None:
    barren = [Tree([1, 3, 0], [index % 10 == 0, 0, 0], [0, 0, 0], [3, 3]) for index in range(1000)]
    for index, each in enumerate(barren):
        each.tried[1] = 3 if index % 10 == 0 else 0
    found = estimate(barren)
    assert found.probability == 0
    assert found.hits == 0
    assert 1e-4 < found.upper < 0.02


def test_without_trees_nothing_is_known() -> None:
    assert estimate([]).upper == 1.0
