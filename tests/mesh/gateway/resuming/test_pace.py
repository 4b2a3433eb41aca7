import pytest

from mesh.gateway.resuming.pace import EXACT_LIMIT, SAMPLE, How, Pace, choose


@pytest.mark.parametrize(
    ("mode", "tokens", "seconds", "how"),
    [
        (None, 100, 0.019, "exact"),
        (None, 100, 0.021, "fast"),
        ("exact", 10_000, 1.0, "exact"),
        ("fast", 1, 0.001, "fast"),
    ],
)
def test_a_quick_replay_is_made_and_a_slow_one_if_asked_for(
    mode: How | None, tokens: int, seconds: float, how: How
) -> None:
    assert choose(mode, tokens, seconds) == how


def begun(now: float = 0.0) -> Pace:
    pace = Pace()
    assert not pace.is_too_slow(now, 0, 200)
    return pace


def test_a_replay_is_given_up_when_its_first_steps_tell_that_it_takes_too_long() -> None:
    assert not begun().is_too_slow(0.019 * SAMPLE, SAMPLE, 200)
    assert begun().is_too_slow(0.021 * SAMPLE, SAMPLE, 200)
    assert not begun().is_too_slow(0.021 * SAMPLE, SAMPLE, 180), "there are fewer"


def test_too_few_steps_tell_nothing() -> None:
    assert not begun().is_too_slow(1.0, SAMPLE - 1, 200)


def test_no_replay_takes_longer_than_the_limit_allows() -> None:
    pace = begun(10.0)
    assert not pace.is_too_slow(13.9, 3, 4)
    assert pace.is_too_slow(14.1, 3, 4)


def test_a_replay_that_becomes_slow_is_given_up_then() -> None:
    pace = begun()
    assert not pace.is_too_slow(1.0, 100, 200)
    assert pace.is_too_slow(3.0, 140, 200)


def test_a_replay_that_was_asked_for_has_more_time_and_not_for_ever() -> None:
    pace = Pace(EXACT_LIMIT)
    assert not pace.is_too_slow(0.0, 0, 200)
    assert not pace.is_too_slow(100.0, 100, 200)
    assert pace.is_too_slow(EXACT_LIMIT + 1, 199, 200)
