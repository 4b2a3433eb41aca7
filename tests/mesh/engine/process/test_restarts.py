from hypothesis import given
from hypothesis import strategies as st

from mesh.engine.process.restarts import Restarts


def pauses(runs: list[float], restarts: Restarts = Restarts()) -> list[float]:  # noqa: B008
    result = []
    for run in runs:
        restarts, pause = restarts.after_exit(run)
        result.append(pause)
    return result


def test_the_pause_doubles_from_a_tenth_of_a_second_to_ten() -> None:
    assert pauses([0.0] * 9) == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]


def test_a_good_run_starts_over() -> None:
    assert pauses([1, 1, 1, 30, 1]) == [0.1, 0.2, 0.4, 0.1, 0.2]


def test_a_run_just_too_short_does_not() -> None:
    assert pauses([1, 29.9]) == [0.1, 0.2]


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=50), st.integers(0, 10**6))
def test_every_pause_is_between_the_first_and_the_longest(runs: list[float], failures: int) -> None:
    assert all(0.1 <= pause <= 10 for pause in pauses(runs, Restarts(failures=failures)))
