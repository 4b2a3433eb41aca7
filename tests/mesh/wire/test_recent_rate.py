"""Rates by times that the test gives."""

from mesh.wire.recent_rate import MOST_SAMPLES, RecentRate


def test_the_rate_is_that_of_the_last_seconds() -> None:
    rate = RecentRate()
    places = [second * (10 if second < 10 else 100) for second in range(20)]
    assert [rate.see(second, place) for second, place in enumerate(places)][-1] == 100.0


def test_one_sample_and_bytes_that_fall_have_no_rate() -> None:
    rate = RecentRate()
    assert rate.see(1.0, 500) == 0.0
    assert rate.see(2.0, 100) == 0.0


def test_what_was_before_a_new_beginning_does_not_count() -> None:
    rate = RecentRate()
    rate.see(1.0, 0)
    rate.begin()
    assert rate.see(2.0, 1000) == 0.0


def test_more_samples_than_are_kept_shorten_the_time() -> None:
    rate = RecentRate()
    rate.see(0.0, -(10**9))
    for number in range(MOST_SAMPLES):
        told = rate.see(1 + number / 1000, number)
    assert round(told) == 1000
