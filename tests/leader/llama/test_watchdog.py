"""The watchdog: fires on an engine that stands still, and on nothing else."""

from collections.abc import Iterable

import pytest

from leader.llama.llama_server import ANSWER_SECONDS, LOOK_SECONDS
from leader.llama.watchdog import (
    GONE_PATIENCE,
    LOAD_PATIENCE,
    PREFILL_PATIENCE,
    EngineSample,
    Watchdog,
    read_slots,
)


def first_alarm(
    watchdog: Watchdog, sightings: Iterable[tuple[float, EngineSample]]
) -> tuple[float, str] | None:
    for now, sighting in sightings:
        reason = watchdog.see(now, sighting)
        if reason is not None:
            return now, reason
    return None


def still(activity: str, seconds: float, doubt: bool = False) -> list[tuple[float, EngineSample]]:
    """The same sighting every half second."""
    return [(100 + half / 2, EngineSample(activity, "same", doubt)) for half in range(int(seconds * 2) + 1)]


def test_an_idle_engine_is_left_alone() -> None:
    assert first_alarm(Watchdog(), still("idle", 10_000)) is None


@pytest.mark.parametrize(
    ("activity", "patience", "words"),
    [
        ("generating", 5.0, "makes no progress with a token for 5 s"),
        ("silent", 5.0, "does not answer for 5 s"),
        ("prefill", PREFILL_PATIENCE, "makes no progress with a prompt for 60 s"),
        ("loading", LOAD_PATIENCE, "makes no progress with loading for 120 s"),
    ],
)
def test_each_activity_may_stand_still_for_its_time(activity: str, patience: float, words: str) -> None:
    assert first_alarm(Watchdog(), still(activity, 1000)) == (100 + patience, words)


@pytest.mark.parametrize("activity", ["generating", "prefill", "loading", "silent"])
def test_a_doubted_stage_leaves_five_seconds_whatever_is_done(activity: str) -> None:
    alarm = first_alarm(Watchdog(), still(activity, 1000, doubt=True))
    assert alarm is not None
    assert alarm[0] == 105.0


def test_a_stage_that_is_held_dead_leaves_less() -> None:
    seen = [(now, EngineSample(one.activity, one.counters, True, True)) for now, one in still("prefill", 10)]
    alarm = first_alarm(Watchdog(), seen)
    assert alarm is not None
    assert alarm[0] == 100 + GONE_PATIENCE


def test_a_long_prefill_that_sends_bytes_now_and_then_is_left_alone() -> None:
    seen = [(now, EngineSample("prefill", now // 50)) for now in range(3600)]
    assert first_alarm(Watchdog(), [(float(now), sighting) for now, sighting in seen]) is None


def test_slow_machines_get_the_time_that_a_batch_takes_them() -> None:
    alarm = first_alarm(Watchdog(stage_seconds=0.5), still("prefill", 1000))
    assert alarm is not None
    assert alarm[0] == 100 + 256.0


def test_slow_tokens_are_waited_for_by_their_own_measure() -> None:
    watchdog = Watchdog()
    slow = [(half / 2, EngineSample("generating", half // 6)) for half in range(60)]  # a token each 3 s
    assert first_alarm(watchdog, slow) is None
    alarm = first_alarm(watchdog, [(30 + half / 2, EngineSample("generating", 9)) for half in range(1000)])
    assert alarm is not None
    assert 27 + 60 <= alarm[0] <= 27 + 66


def test_our_own_pause_is_not_the_engines() -> None:
    watchdog = Watchdog()
    assert first_alarm(watchdog, still("generating", 2)) is None
    assert watchdog.see(5000.0, EngineSample("generating", "same")) is None
    assert watchdog.see(5000.5, EngineSample("generating", "moved")) is None


def test_an_engine_that_does_not_answer_is_given_up_at_the_pace_of_the_real_looks() -> None:
    pace = LOOK_SECONDS + ANSWER_SECONDS  # each look waits in vain for an answer, then a pause is made
    watchdog = Watchdog()
    alarm = first_alarm(watchdog, [(look * pace, EngineSample("silent")) for look in range(10)])
    assert alarm is not None
    assert alarm[0] <= 2 * pace + 5.0


def test_a_new_answer_does_not_inherit_the_patience_of_an_old_one() -> None:
    watchdog = Watchdog()
    for half in range(60):
        watchdog.see(half / 2, EngineSample("generating", half // 6))
    watchdog.see(30.0, EngineSample("idle"))
    alarm = first_alarm(watchdog, still("generating", 1000))
    assert alarm is not None
    assert alarm[0] == 105.0


def slot(number: int, busy: bool, decoded: int | None = None, prompt: int = 0) -> dict[str, object]:
    tokens = {} if decoded is None else {"next_token": [{"n_decoded": decoded}]}
    return {"id": number, "is_processing": busy, "id_task": 7, "n_prompt_tokens_processed": prompt, **tokens}


@pytest.mark.parametrize(
    ("slots", "activity"),
    [
        ([], "idle"),
        ([slot(0, False), slot(1, False, 30)], "idle"),
        ([slot(0, True), slot(1, False)], "prefill"),
        ([slot(0, True, 0, 512)], "prefill"),
        ([slot(0, True, 12)], "generating"),
        ([slot(0, True, 12), slot(1, True, 0)], "prefill"),
    ],
)
def test_slots_say_what_is_done(slots: list[object], activity: str) -> None:
    assert read_slots(slots)[0] == activity


def test_each_token_and_each_piece_of_prompt_counts_as_progress() -> None:
    seen = [read_slots([slot(0, True, d, p)])[1] for d, p in ((0, 0), (0, 512), (1, 600), (2, 600))]
    assert len(set(seen)) == 4
