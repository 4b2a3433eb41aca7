import os
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.protocol.base.settings import Settings
from simulations.chaos import AGREE_LIMIT, Chaos, ChaosOutcome, doubt_limit, plan

ROOT = Path(__file__).parents[2]
SEEDS = range(7001, 7013)
"""Always the same, so that a failure is a change's own; `test.sh` draws fresh ones in a gate of its own."""

SHORT = 2.5
"""Minutes: one storm and one healing."""


@pytest.mark.parametrize("seed", SEEDS)
def test_no_property_is_violated(seed: int) -> None:
    outcome = Chaos(plan(seed, None, SHORT)).run()
    assert outcome.violations == [], f"python -m simulations replay {seed} --minutes {SHORT}"


def test_by_the_default_settings_no_doubt_takes_longer_than_agreeing_may() -> None:
    assert doubt_limit(Settings()) <= AGREE_LIMIT


def test_who_is_left_alone_by_slow_settings_leads_within_the_limit_of_its_doubt() -> None:
    outcome = Chaos(plan(18003482, None, 10.0)).run()  # 2.0 s, five times as long alone, nine in doubt
    assert outcome.violations == []
    assert AGREE_LIMIT < max(outcome.agreed_after) <= doubt_limit(plan(18003482).settings)


def test_a_plan_follows_from_its_seed_alone() -> None:
    assert plan(7) == plan(7)
    assert plan(7) != plan(8)
    assert 5 <= len(plan(7).traits) <= 9
    assert len(plan(7, nodes=3).traits) == 3
    assert len(plan(7, minutes=10.0).rounds) == 4


@pytest.mark.parametrize("nodes", range(1, 5))
def test_every_seed_has_a_plan_for_few_hosts_too(nodes: int) -> None:
    assert all(len(plan(seed, nodes).traits) == nodes for seed in range(200))


@pytest.mark.parametrize("nodes", [1, 2, 3])
def test_no_property_is_violated_among_few_hosts(nodes: int) -> None:
    said = {seed: Chaos(plan(seed, nodes, SHORT)).run().violations for seed in range(7101, 7105)}
    assert not any(said.values()), said


def _short(seed: int) -> ChaosOutcome:
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


def test_without_any_fault_the_pool_agrees_and_serves_soon() -> None:
    """As soon as those who are switched off for good, the leader maybe, are known to be gone and followed."""
    outcome = Chaos(plan(4, 5, SHORT), only=()).run()
    assert outcome.violations == []
    assert all(seconds <= 6.0 for seconds in outcome.agreed_after)
    assert len(outcome.served_after) == 1
