import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulations.chaos import Chaos, Outcome, plan

ROOT = Path(__file__).parents[2]
FRESH_SEEDS = 24
SHORT = 2.5
"""Minutes: one storm and one healing."""


def _base() -> int:
    """Where this run's fresh seeds begin; CHAOS_SEED repeats those of a former run."""
    given = os.environ.get("CHAOS_SEED")
    return int(given) if given else int.from_bytes(os.urandom(4), "big")


BASE = _base()


@pytest.mark.parametrize("turn", range(FRESH_SEEDS))
def test_no_property_is_violated_from_a_fresh_seed(turn: int) -> None:
    outcome = Chaos(plan(BASE + turn, None, SHORT)).run()
    again = f"python -m simulations replay {BASE + turn} --minutes {SHORT} (CHAOS_SEED={BASE})"
    assert outcome.violations == [], again


def test_a_plan_follows_from_its_seed_alone() -> None:
    assert plan(7) == plan(7)
    assert plan(7) != plan(8)
    assert 5 <= len(plan(7).traits) <= 9
    assert len(plan(7, nodes=3).traits) == 3
    assert len(plan(7, minutes=10.0).rounds) == 4


def _short(seed: int) -> Outcome:
    return Chaos(plan(seed, 5, SHORT)).run()


def test_a_seed_gives_the_same_events_whatever_the_order_of_sets() -> None:
    program = (
        "from simulations.chaos import Chaos, plan;"
        f"print([Chaos(plan(seed, 5, {SHORT})).run().digest for seed in (4, 50)])"
    )
    digests = set()
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        result = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(result.stdout)
    assert digests == {f"{[_short(seed).digest for seed in (4, 50)]}\n"}


def test_another_seed_gives_other_events() -> None:
    assert _short(1).digest != _short(2).digest


def test_a_trace_tells_of_faults_and_of_what_hosts_say() -> None:
    lines: list[str] = []
    Chaos(plan(4, 5, SHORT), trace=lines.append).run()
    text = "\n".join(lines)
    assert "** healed around" in text
    assert "LeaderChanged host" in text
    assert "StateChanged ready" in text


def test_without_any_fault_the_pool_agrees_and_serves_at_once() -> None:
    outcome = Chaos(plan(4, 5, SHORT), only=()).run()
    assert outcome.violations == []
    assert outcome.agreed_after == [0.0]
    assert len(outcome.served_after) == 1
