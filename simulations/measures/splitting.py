"""Multilevel splitting: how to measure a probability that is too small to be seen by waiting.

A rare hit is reached through stages. Whoever gets through a stage is copied, and each copy goes on with
random numbers of its own; most die out, some get through the next stage. A hit at depth d (after d copyings)
weighs 1 / (product of the numbers of copies on the way). The sum of the weights of one tree has the
probability of a hit as its expectation, whatever the stages: they change the variance alone (fixed splitting:
Kahn and Harris, 1951; Glasserman, Heidelberger, Shahabuddin and Zajic, "Multilevel splitting for estimating
rare event probabilities", Operations Research 47, 1999; Garvels, "The splitting method in rare event
simulation", 2000).

What the leaves of one tree did is not independent, the trees are. So the error comes from the spread between
trees. Where few trees hit, or none, the bound comes from the stages instead. Stages are nested: whoever hits
has got through all of them, if by a leap. So P(hit) is the product of the chances to get through each, the
last of them to hit. Each is bounded by Clopper and Pearson at confidence 1 - alpha / stages (Bonferroni), its
number of trials divided by the design effect (Kish, "Survey Sampling", 1965) that the trees show.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from simulations.measures.estimates import CONFIDENCE, proportion_upper

S = TypeVar("S")
THROUGH, OUT, HIT = "through", "out", "hit"


@dataclass(slots=True)
class Tree:
    """What became of one root: for each stage how many tried it, got through it, hit in it."""

    tried: list[int]
    through: list[int]
    hits: list[int]
    copies: Sequence[int]

    @property
    def weight(self) -> float:
        """The tree's estimate of the probability of a hit."""
        total, share = 0.0, 1.0
        for hits, copies in zip(self.hits, (1, *self.copies), strict=False):
            share /= copies
            total += hits * share
        return total


def grow(
    state: S,
    stages: int,
    copies: Sequence[int],
    advance: Callable[[S, int], str],
    isolated: Callable[[Callable[[], Tree]], Tree],
    reseed: Callable[[S, int], None],
    source: random.Random,
) -> Tree:
    """Grow the tree of one root.

    ``advance(state, stage)`` runs a state through one stage, in place, and says THROUGH, OUT or HIT;
    ``copies[i]`` states go on from each that got through stage i. ``isolated`` calls a function with all
    states as they are now, and leaves them so.
    """
    if len(copies) != stages - 1:
        raise ValueError("there is a number of copies between each two stages")

    def branch(stage: int) -> Tree:
        tree = Tree([0] * stages, [0] * stages, [0] * stages, copies)
        tree.tried[stage] += 1
        outcome = advance(state, stage)
        if outcome == HIT:
            tree.hits[stage] += 1
        elif outcome == THROUGH:
            tree.through[stage] += 1
            for seed in [source.getrandbits(64) for _ in range(copies[stage] if stage < stages - 1 else 0)]:
                _add(tree, isolated(lambda seed=seed: follow(stage + 1, seed)))  # type: ignore[misc]
        return tree

    def follow(stage: int, seed: int) -> Tree:
        source.seed(seed)
        reseed(state, seed)
        return branch(stage)

    return branch(0)


def _add(tree: Tree, other: Tree) -> None:
    for ours, theirs in (
        (tree.tried, other.tried),
        (tree.through, other.through),
        (tree.hits, other.hits),
    ):
        for index, count in enumerate(theirs):
            ours[index] += count


@dataclass(slots=True)
class Estimate:
    """The probability of a hit from many trees."""

    trees: int
    hits: int
    probability: float
    error: float
    """Standard error, by the spread between trees."""
    upper: float
    """Upper bound at 95%."""
    stages: list[dict[str, float]] = field(default_factory=list)


def estimate(trees: Sequence[Tree], confidence: float = CONFIDENCE) -> Estimate:
    """Put trees together; the bound is the normal one where 20 trees or more hit, else that by stages."""
    if not trees:
        return Estimate(0, 0, 0.0, 0.0, 1.0)
    weights = [tree.weight for tree in trees]
    mean = math.fsum(weights) / len(trees)
    spread = math.fsum((weight - mean) ** 2 for weight in weights)
    error = math.sqrt(spread / (len(trees) * max(1, len(trees) - 1)))
    hits = sum(sum(tree.hits) for tree in trees)
    stages = [_stage(trees, stage) for stage in range(len(trees[0].tried))]
    if sum(1 for tree in trees if tree.weight) >= 20:
        upper = mean + 1.645 * error
    else:
        upper = _bound_by_stages(trees, confidence)
    return Estimate(len(trees), hits, mean, error, min(1.0, upper), stages)


def _stage(trees: Sequence[Tree], stage: int) -> dict[str, float]:
    return {
        "tried": sum(tree.tried[stage] for tree in trees),
        "through": sum(tree.through[stage] for tree in trees),
        "hits": sum(tree.hits[stage] for tree in trees),
    }


def _trials(tree: Tree, stage: int) -> tuple[int, int]:
    """How many of a tree tried a stage and got through it; a hit tries and passes all later ones too."""
    leapt = sum(tree.hits[:stage])
    return tree.tried[stage] + leapt, tree.through[stage] + tree.hits[stage] + leapt


def _likeness(trees: Sequence[Tree], stage: int) -> tuple[float, float | None]:
    """Trials a tree, and how alike those of one tree are: (design effect - 1) / (trials a tree - 1)."""
    pairs = [pair for tree in trees if (pair := _trials(tree, stage))[0]]
    tried, passed = sum(a for a, _ in pairs), sum(b for _, b in pairs)
    size = sum(a * a for a, _ in pairs) / tried if tried else 1.0
    if len(pairs) < 2 or passed in (0, tried) or size <= 1:
        return size, None
    share = passed / tried
    between = sum((b - share * a) ** 2 for a, b in pairs) * len(pairs) / (len(pairs) - 1)
    effect = between / (tried * share * (1 - share))
    return size, min(1.0, max(0.0, (effect - 1) / (size - 1)))


def _bound_by_stages(trees: Sequence[Tree], confidence: float) -> float:
    """The product of the bounds of the chances to get through each stage.

    Where a stage does not show how alike the trials of a tree are (nobody got through, say), the most that
    another stage shows is taken; where none does, each tree counts once.
    """
    stages = range(len(trees[0].tried))
    alone = 1 - (1 - confidence) / len(stages)
    likenesses = [_likeness(trees, stage) for stage in stages]
    worst = max((likeness for _, likeness in likenesses if likeness is not None), default=1.0)
    bound = 1.0
    for stage, (size, likeness) in zip(stages, likenesses, strict=True):
        effect = 1 + (size - 1) * (worst if likeness is None else likeness)
        pairs = [_trials(tree, stage) for tree in trees]
        tried, passed = sum(a for a, _ in pairs) / effect, sum(b for _, b in pairs) / effect
        if tried < 1:
            break
        bound *= proportion_upper(math.ceil(passed), tried, alone)
    return bound
