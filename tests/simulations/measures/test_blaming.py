"""What a worker that lies or fails costs a pool: a few repeats of `python -m simulations blame`."""

import pytest

from leader.blame.breaks import Breaks
from simulations.measures.blaming import Blaming, Trial
from simulations.measures.trials import TrialPlan
from simulations.unruly import UNRULY, Manner

PLAN = TrialPlan(6, 1)


def trial(seed: int, manner: Manner, minutes: float = 4.0) -> Blaming:
    return Trial(seed, PLAN, minutes, manner).run()


@pytest.mark.parametrize("manner", UNRULY)
def test_an_unruly_worker_is_named_within_two_loads_and_others_serve(manner: Manner) -> None:
    outcome = trial(1, manner)
    assert not outcome.troubled
    assert outcome.named
    assert outcome.loads <= 2
    assert outcome.served >= 0.95
    assert outcome.wholes == 0
    assert outcome.violations == []


def test_in_a_troubled_pool_nobody_else_is_blamed() -> None:
    outcome = trial(2, Manner.FAILS, 8.0)
    assert outcome.troubled
    assert outcome.violations == []


def test_where_nobody_is_ever_blamed_the_others_serve_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Breaks, "_guilty", lambda *_: False)
    outcome = trial(1, Manner.DIES)
    assert not outcome.named
    assert outcome.loads > 2
