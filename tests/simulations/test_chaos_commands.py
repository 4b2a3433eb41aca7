import json

import pytest

from mesh.protocol.leadership.worker_lease import WorkerLease
from simulations import mutants
from simulations.__main__ import main
from simulations.chaos import Chaos, ChaosOutcome, ChaosPlan, plan

SHORT = ["--minutes", "2.5", "--nodes", "5"]


def test_chaos_prints_one_object_with_its_goals(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chaos", "--seeds", "2", "--first-seed", "4", *SHORT, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["name"] == "chaos"
    assert report["parameters"] == {
        "seeds": 2, "first_seed": 4, "family": None, "nodes": 5, "minutes": 2.5, "jobs": 1,
    }  # fmt: skip
    assert report["results"]["events"] > 1000
    assert report["results"]["rounds"] == 2
    assert {"what", "goal", "measured", "unit", "met"} == set(report["goals"][0])
    assert len(report["goals"]) == 1  # the others are for seeds of the usual size


def test_chaos_of_one_family_runs_the_first_seeds_that_draw_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[ChaosPlan] = []

    def run(chaos: Chaos) -> ChaosOutcome:
        ran.append(chaos.plan)
        return ChaosOutcome(chaos.plan.seed, 5)

    monkeypatch.setattr("simulations.chaos.Chaos.run", run)
    assert main(["chaos", "--seeds", "5", "--family", "upgrades", *SHORT, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"]["family"] == "upgrades"
    drawn = [seed for seed in range(1, 60) if "upgrades" in plan(seed, 5, 2.5).families]
    assert [made.seed for made in ran] == drawn[:5]
    assert all(len(made.programs) == 2 for made in ran)


def test_a_missed_goal_fails_with_check_though_no_property_is_violated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("simulations.chaos.Chaos.run", lambda chaos: ChaosOutcome(1, 5, rounds=4, calm=3))
    monkeypatch.setattr("simulations.chaos_commands._FASTEST", 0)
    assert main(["chaos", "--seeds", "9", "--json", "--check"]) == 0
    assert [goal["met"] for goal in json.loads(capsys.readouterr().out)["goals"]] == [True, True]
    assert main(["chaos", "--seeds", "10", "--json", "--check"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert [goal["met"] for goal in report["goals"]] == [True, True, False]
    assert report["goals"][2]["measured"] == 0.75
    monkeypatch.setattr("simulations.chaos_commands._FASTEST", 10**12)
    assert main(["chaos", "--seeds", "9", "--check"]) == 1


def test_every_fiftieth_seed_runs_twice_and_must_leave_the_same_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    digests = iter("abcdefgh")
    monkeypatch.setattr("simulations.chaos.Chaos.run", lambda chaos: ChaosOutcome(1, 5, digest=next(digests)))
    assert main(["chaos", "--seeds", "3", "--first-seed", "49", *SHORT]) == 0
    assert capsys.readouterr().out.count("0.000 repeat: trace b, then c") == 1
    assert next(digests) == "e"
    assert (
        main(["chaos", "--seeds", "1", "--first-seed", "200", *SHORT]) == 0
    )  # signs with Ed25519: it takes long
    assert "repeat" not in capsys.readouterr().out


def test_a_seed_that_runs_twice_is_itself_again() -> None:
    assert main(["chaos", "--seeds", "1", "--first-seed", "50", *SHORT, "--check"]) == 0


def test_several_processes_find_what_one_finds(capsys: pytest.CaptureFixture[str]) -> None:
    events = []
    for jobs in ("1", "2"):
        assert main(["chaos", "--seeds", "3", *SHORT, "--jobs", jobs, "--json"]) == 0
        events.append(json.loads(capsys.readouterr().out)["results"]["events"])
    assert events[0] == events[1]


def test_a_violation_fails_only_with_check_and_names_its_seed(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["chaos", "--seeds", "8", *SHORT]
    with mutants.applied("the gate ignores the fence"), mutants.applied("terms are not stored"):
        assert main([*arguments, "--json"]) == 0
        report = json.loads(capsys.readouterr().out)
        failed = report["results"]["failed"][0]
        assert report["goals"][0]["met"] is False
        assert main([*arguments, "--check"]) == 1
        out = capsys.readouterr().out
        assert f"seed {failed['seed']}: 5 nodes" in out
        assert f"python -m simulations replay {failed['seed']} --minutes 2.5 --nodes 5\n" in out
        assert main(["replay", str(failed["seed"]), *SHORT, "--check"]) == 1
        assert failed["violations"][0] in capsys.readouterr().out


def test_a_crash_of_the_program_is_a_violation_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("simulations.chaos.Chaos.run", lambda chaos: 1 / 0)
    assert main(["chaos", "--seeds", "1", *SHORT, "--check"]) == 1
    assert "crash: ZeroDivisionError" in capsys.readouterr().out


def test_replay_lists_a_schedule_and_repeats_a_part_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "4", *SHORT, "--faults"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert listed[0].startswith("families: ")
    numbers = [int(line.split()[0]) for line in listed if line.startswith(" ")]
    assert numbers == list(range(len(numbers)))
    assert main(["replay", "4", *SHORT, "--only", "0,2-3"]) == 0
    struck = [line for line in capsys.readouterr().out.splitlines() if "**" in line and "no more" not in line]
    assert len(struck) == 5  # storm 1, three faults, healed


def test_replay_prints_one_object_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "4", *SHORT, "--only", "0,2-3", "--json", "--check"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["parameters"] == {"seed": 4, "nodes": 5, "minutes": 2.5, "only": [0, 2, 3]}
    results = report["results"]
    assert set(results) == {"families", "programs", "faults", "nodes", "events", "digest", "violations"}
    assert results["programs"] == [list(program.speaks) for program in plan(4, 5, 2.5).programs]
    assert len(report["results"]["faults"]) == 3
    assert report["goals"][0]["met"] is True
    assert main(["replay", "4", *SHORT, "--faults", "--json", "--check"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert len(listed["results"]["faults"]) > 3
    assert listed["goals"] == []


def test_mutants_names_seed_and_checker_and_who_survived(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(mutants.MUTANTS, "nothing is broken", list)
    arguments = ["mutants", "--seeds", "1", "--minutes", "2.5", "--only", "nothing is broken"]
    monkeypatch.setattr("simulations.chaos.Chaos.run", _harmless)
    assert main([*arguments, "--json", "--check"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["results"]["survivors"] == ["nothing is broken"]
    assert main(arguments) == 0
    assert "nothing is broken: SURVIVED (1 seeds)" in capsys.readouterr().out


def _harmless(chaos: object) -> object:
    return ChaosOutcome(1, 5)


def test_a_mutant_that_merely_crashes_is_not_caught(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(mutants.MUTANTS, "out of date", lambda: [(WorkerLease, "request", None)])
    arguments = ["mutants", "--seeds", "1", "--minutes", "2.5", "--json", "--only", "out of date"]
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["results"]["survivors"] == ["out of date"]
