"""What must hold in every run, judged from outside the world and apart from it.

Safety checkers (leases, terms, elections, votes, facts, expulsions, deaths, words, replays, bounds, moves,
innocents, forms, bytes passed on)
judge while a run goes on. `settled` judges after each healing that the pool is whole again. `setbacks` knows
what a state rollback made members forget; `verdicts` collects the violations.

A checker must not trust what a Node says of itself alone: it compares Nodes, and what was sent.
"""

from __future__ import annotations

from collections.abc import Collection

from simulations.checkers.bounds import Bounds
from simulations.checkers.deaths import HARMLESS, Deaths
from simulations.checkers.elections import Elections
from simulations.checkers.expulsions import Expulsions
from simulations.checkers.forms import Forms
from simulations.checkers.innocents import Innocents
from simulations.checkers.leases import Leases
from simulations.checkers.moves import Moves
from simulations.checkers.passed_on import PassedOn
from simulations.checkers.repeated_pings import RepeatedPings
from simulations.checkers.setbacks import Setbacks
from simulations.checkers.settled import disagreement
from simulations.checkers.stored_facts import StoredFacts
from simulations.checkers.terms import Terms
from simulations.checkers.verdicts import Excuses, Verdicts
from simulations.checkers.votes import Votes
from simulations.checkers.words import Words
from simulations.leading import Serving
from simulations.world import World

__all__ = ["Checkers", "disagreement"]

_SCAN = 2.0
_MEASURE = 60.0


class Checkers:
    """All safety checkers on one world; ``violations`` says what went wrong and when."""

    def __init__(
        self, world: World, serving: Serving | None = None, families: Collection[str] | None = None
    ) -> None:
        """``families`` of the faults that will strike, where known: with fewer, more can be demanded."""
        self._world = world
        self.verdicts = Verdicts(world)
        self.excuses = Excuses()
        self.setbacks = Setbacks(world)
        self.leases = Leases(world, self.verdicts, self.excuses, self.setbacks)
        self.terms = Terms(world, self.verdicts, self.excuses, self.setbacks)
        self.facts = StoredFacts(world, self.verdicts, self.excuses)
        self.forms = Forms(world, self.verdicts, self.excuses)
        self.passed_on = PassedOn(world, self.verdicts, self.excuses, self.setbacks)
        self.words = Words(world, self.verdicts)
        self.replays = RepeatedPings(world, self.verdicts)
        self.bounds = Bounds(world, self.verdicts)
        self.elections = Elections(world, self.verdicts, self.excuses)
        self.votes = Votes(world, self.verdicts)
        self.expulsions = Expulsions(world, self.verdicts, self.excuses)
        harmless = families is not None and HARMLESS.issuperset(families)
        self.deaths = Deaths(world, self.verdicts, self.excuses) if harmless else None
        if serving is not None:
            serving.stops.append(Moves(world, self.verdicts, serving.answering).stopped)
            serving.judgements.append(Innocents(world, self.verdicts, self.excuses, serving.manners).judged)
            serving.passes += [self.leases.passed, self.expulsions.passed]
        world.at(world.now + _SCAN, self._scan)
        world.at(world.now + _MEASURE, self._measure)

    @property
    def violations(self) -> list[str]:
        return self.verdicts.said

    def _scan(self) -> None:
        """Look through the facts of every Node."""
        self.facts.scan()
        self.terms.scan()
        self.forms.scan()
        self.expulsions.scan()
        self._world.at(self._world.now + _SCAN, self._scan)

    def _measure(self) -> None:
        self.bounds.scan()
        self._world.at(self._world.now + _MEASURE, self._measure)
