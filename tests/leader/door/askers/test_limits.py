import pytest

from leader.door.askers.limits import BURST_SECONDS, MOST_DEBT_SECONDS, Limits

LIMITS = Limits(in_flight=2, queued=3, tokens_per_minute=60)


@pytest.mark.parametrize(
    ("queued", "debt", "code"),
    [
        (2, 0.0, None),
        (3, 0.0, "too_many_requests"),
        (0, 0.1, "too_many_tokens"),
        (0, float("-inf"), None),
    ],
)
def test_a_limit_that_is_reached_refuses_the_next(queued: int, debt: float, code: str | None) -> None:
    refused = LIMITS.refusal(queued, debt)
    assert (None if refused is None else refused.code) == code
    assert refused is None or (refused.status == 429 and refused.retry_after > 0)


def test_tokens_are_paid_for_at_their_rate_from_what_was_saved_on() -> None:
    assert LIMITS.paid_at(100.0, float("-inf"), 60) == 100.0 - BURST_SECONDS + 60
    assert LIMITS.paid_at(100.0, 100.0, 30) == 130.0
    assert LIMITS.paid_at(100.0, 100.0, 0) == 100.0
    assert LIMITS.paid_at(100.0, 100.0, 10**9) == 100.0 + MOST_DEBT_SECONDS


def test_without_a_rate_nothing_is_owed() -> None:
    assert Limits().paid_at(100.0, float("-inf"), 10**9) == float("-inf")
