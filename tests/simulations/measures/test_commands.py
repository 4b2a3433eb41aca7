import json
import math

import pytest

from mesh.protocol.base.settings import Settings
from mesh.wire.errors import MeshError
from simulations.__main__ import main
from simulations.measures import theory
from simulations.measures.commands import MEASURES, changed
from simulations.measures.measurement import Goal, tail_goal

SMALL = {
    "detect": ["--seeds", "3", "--kinds", "silent,process,pause"],
    "falsedeaths": ["--hours", "0.2", "--probes", "2", "--loss", "0.2"],
    "converge": ["--seeds", "4"],
    "join": ["--seeds", "2"],
    "idle": ["--seconds", "5"],
    "failover": ["--seeds", "2"],
    "blame": ["--seeds", "2", "--minutes", "2"],
    "throughput": ["--seeds", "1", "--seconds", "2"],
}


@pytest.mark.parametrize("name", SMALL)
def test_each_measure_prints_one_object(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--nodes", "5", "--json", *SMALL[name]]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["name"] == name
    assert told["parameters"]["nodes"] == 5
    assert told["results"]
    assert told["goals"]
    for goal in told["goals"]:
        assert set(goal) == {"what", "goal", "measured", "unit", "met"}
        assert isinstance(goal["met"], bool)


def test_every_measure_is_tried_small() -> None:
    assert set(SMALL) == set(MEASURES)


def test_lossy_and_full_links_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", "--nodes", "5", "--seeds", "1", "--kinds", "one-way,full-link", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert "80% lost on the way in" in told["results"]
    assert "80% lost on the way out" in told["results"]
    assert sum("link full" in name for name in told["results"]) == 3


def test_people_get_a_table_with_what_was_met_and_missed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["converge", "--nodes", "5", "--seeds", "3"]) == 0
    printed = capsys.readouterr().out
    assert "rounds to all" in printed
    assert "met    a new fact everywhere, n=5, largest of 3" in printed


def test_a_missed_goal_fails_only_with_check(capsys: pytest.CaptureFixture[str]) -> None:
    slow = ["detect", "--nodes", "5", "--seeds", "1", "--kinds", "silent", "--set", "suspicion_timeout=9"]
    assert main(slow) == 0
    assert main([*slow, "--check"]) == 1
    assert "MISSED silent machine known everywhere" in capsys.readouterr().out


def test_jobs_do_not_change_what_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    measured = []
    for jobs in ("1", "2"):
        main(["failover", "--nodes", "5", "--seeds", "4", "--kinds", "process", "--jobs", jobs, "--json"])
        measured.append(json.loads(capsys.readouterr().out)["results"])
    assert measured[0] == measured[1]


def test_settings_are_changed_by_name() -> None:
    assert changed(Settings(), ["probe_period=0.25", "relays=5"]).probe_period == 0.25
    assert changed(Settings(), ["relays=5"]).relays == 5
    with pytest.raises(MeshError, match="no setting"):
        changed(Settings(), ["speed=1"])
    with pytest.raises(MeshError, match="no value"):
        changed(Settings(), ["relays=many"])


def test_a_wrong_setting_is_a_mistake_in_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["idle", "--nodes", "5", "--set", "speed=1"]) == 2
    assert "no setting" in capsys.readouterr().err


def test_a_goal_for_a_tail_says_when_there_are_too_few_repeats_for_it() -> None:
    few = tail_goal("x", 2.0, [1.0, 3.0])
    assert (few.what, few.measured, few.met) == ("x, largest of 2", 3.0, False)
    many = tail_goal("x", 2.0, [1.0] * 99 + [3.0])
    assert (many.what, many.measured, many.met) == ("x, p99 of 100", 1.0, True)
    assert not tail_goal("x", 2.0, []).met
    assert Goal("speed", 8.0, 9.0, "x", at_least=True).met


def test_the_first_probe_of_many_comes_as_from_a_poisson_process() -> None:
    settings = Settings()
    many = theory.first_probe(0.5, 10_000, settings)
    assert many == pytest.approx(settings.probe_period * math.log(2), rel=1e-3)
    assert theory.first_probe(1.0, 10, settings) == 9 * settings.probe_period


def test_the_closed_form_of_rounds_is_that_of_the_table() -> None:
    assert theory.rounds_to_all(64) == pytest.approx(3 + math.log(64) / 3)
