"""What the defaults must be to each other for the protocol's promises to hold."""

from mesh.protocol.base.settings import Settings

DEFAULTS = Settings()


def test_a_probe_has_time_for_relays_after_its_direct_tries() -> None:
    assert DEFAULTS.retry < DEFAULTS.direct_timeout < DEFAULTS.probe_timeout


def test_the_final_probe_is_over_before_the_shortest_suspicion_ends() -> None:
    assert DEFAULTS.probe_timeout <= DEFAULTS.final_probe < DEFAULTS.suspicion_timeout


def test_a_lease_outlasts_several_renewals_that_fail_even_by_the_slower_clock() -> None:
    counted = DEFAULTS.lease * (1 - DEFAULTS.drift)
    assert counted > 3 * DEFAULTS.renew > DEFAULTS.lease_retry


def test_the_next_candidate_waits_until_the_vote_of_the_better_one_is_over() -> None:
    assert DEFAULTS.election_delay > DEFAULTS.vote_timeout


def test_a_member_that_left_or_died_is_remembered_far_longer_than_news_take() -> None:
    assert DEFAULTS.suspicion_timeout * DEFAULTS.suspicion_timeout_stretch < DEFAULTS.reap_left / 100
    assert DEFAULTS.reap_left <= DEFAULTS.reap_dead
