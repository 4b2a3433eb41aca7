import json

import pytest

from simulations import mutants
from simulations.__main__ import main
from simulations.chaos import Chaos, plan
from simulations.shrink import checker_of, fails, shrink


def test_only_what_is_needed_to_fail_is_kept() -> None:
    kept = shrink(range(40), lambda numbers: {3, 17} <= set(numbers), 200, lambda text: None)
    assert kept == [3, 17]


def test_it_ends_after_so_many_runs() -> None:
    runs = []

    def failing(numbers: object) -> bool:
        runs.append(numbers)
        return False

    assert shrink(range(64), failing, 10, lambda text: None) == list(range(64))
    assert len(runs) == 10


def test_a_checker_is_known_by_its_name() -> None:
    assert checker_of("12.345 leases: host1 went down from term 3 to 2") == "leases"


def test_a_failing_seed_shrinks_to_few_faults(capsys: pytest.CaptureFixture[str]) -> None:
    with mutants.applied("the gate ignores the fence"):
        seed = next(s for s in range(1, 40) if Chaos(plan(s, 5, 2.5)).run().violations)
        before = len(plan(seed, 5, 2.5).every)
        assert main(["shrink", str(seed), "--minutes", "2.5", "--nodes", "5", "--most", "12"]) == 0
        text = capsys.readouterr().out
        assert (
            main(
                ["shrink", str(seed), "--minutes", "2.5", "--nodes", "5", "--most", "1", "--json", "--check"]
            )
            == 1
        )
        report = json.loads(capsys.readouterr().out)
    only = text.rsplit("--only '", 1)[1].split("'")[0]
    kept = [int(number) for number in only.split(",") if number]
    assert len(kept) < before
    results = report["results"]
    assert len(results["kept"]) == len(results["faults"]) > 0
    assert results["replay"].startswith(f"python -m simulations replay {seed} --only '{results['kept'][0]}")
    assert report["goals"][0]["measured"] == len(results["violations"]) > 0


def test_a_seed_that_does_not_fail_has_nothing_to_shrink(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shrink", "4", "--minutes", "2.5", "--nodes", "5", "--json", "--check"]) == 0
    assert json.loads(capsys.readouterr().out)["results"]["kept"] == []


def test_a_part_fails_when_the_same_checker_speaks() -> None:
    made = plan(4, 5, 2.5)
    with mutants.applied("the gate ignores the fence"):
        judge = fails(made, {"nobody"})
        assert not judge(range(len(made.every)))
