from mesh.protocol.limits.token_bucket import TokenBucket


def test_a_burst_goes_through_and_then_the_rate() -> None:
    bucket = TokenBucket(rate=2.0, burst=3.0, now=10.0)
    assert [bucket.take(10.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(10.5), bucket.take(10.5)] == [True, False]
    assert [bucket.take(99.0) for _ in range(4)] == [True, True, True, False], "it holds no more than a burst"


def test_a_full_bucket_pays_afterwards_for_what_costs_more_than_it_holds() -> None:
    bucket = TokenBucket(rate=1.0, burst=3.0, now=0.0)
    assert bucket.take(0.0, cost=5.0)
    assert not bucket.take(2.0), "it is in debt"
    assert bucket.take(3.0)
    assert not bucket.take(4.0, cost=5.0), "it is not full"


def test_what_was_taken_for_nothing_is_given_back_up_to_a_burst() -> None:
    bucket = TokenBucket(rate=0.0, burst=1.0, now=0.0)
    assert bucket.take(0.0)
    bucket.give_back()
    bucket.give_back()
    assert [bucket.take(0.0), bucket.take(0.0)] == [True, False]
