from mesh.protocol.base.settings import Settings
from mesh.protocol.membership.flap_detection import FlapDetector
from simulations.signing import KeyedHash

MEMBERS = [KeyedHash(number).id for number in range(100)]


def _suspected(flap_detector: FlapDetector, suspectors: int, times: int, live: int, gap: float = 0.1) -> bool:
    now = 1000.0
    for time in range(times):
        now += gap
        if flap_detector.suspected(now, MEMBERS[time % suspectors], (1, time), live):
            return True
    return False


def test_most_probers_and_many_suspicions_are_needed() -> None:
    assert _suspected(FlapDetector(Settings()), suspectors=5, times=14, live=10)
    assert not _suspected(FlapDetector(Settings()), suspectors=5, times=13, live=10)
    assert not _suspected(FlapDetector(Settings()), suspectors=4, times=50, live=10)


def test_in_a_large_pool_half_of_two_dozen_are_enough() -> None:
    assert _suspected(FlapDetector(Settings()), suspectors=13, times=30, live=1000)
    assert not _suspected(FlapDetector(Settings()), suspectors=12, times=60, live=1000)


def test_suspicions_far_apart_do_not_add_up() -> None:
    assert not _suspected(FlapDetector(Settings()), suspectors=9, times=100, live=10, gap=1.2)


def test_a_pool_of_three_cannot_tell_which_link_is_bad() -> None:
    assert not _suspected(FlapDetector(Settings()), suspectors=2, times=100, live=3)


def test_when_a_quarter_is_unsteady_already_the_network_is_to_blame() -> None:
    suspicions = [(1000.0 + number, MEMBERS[number % 9], (1, number)) for number in range(14)]
    for unstable, enough in ((1, True), (2, False)):
        flap_detector = FlapDetector(Settings())
        assert any(flap_detector.suspected(*each, live=7, unstable=unstable) for each in suspicions) is enough


def test_a_member_without_others_to_probe_comes_back_after_its_quarantine() -> None:
    flap_detector = FlapDetector(Settings())
    _suspected(flap_detector, suspectors=9, times=20, live=10)
    assert not flap_detector.alone(1010.0)
    assert flap_detector.alone(1040.0)


def _probe(flap_detector: FlapDetector, start: float, seconds: float, direct: list[bool]) -> float | None:
    """When it becomes stable again, probing three times a second; None when it does not."""
    for number in range(int(3 * seconds)):
        now = start + number / 3
        if flap_detector.probed(now, direct[number % len(direct)], live=10):
            return now
    return None


def test_it_stays_away_for_its_quarantine_which_doubles() -> None:
    flap_detector = FlapDetector(Settings())
    for quarantine in (30.0, 60.0, 120.0):
        assert _suspected(flap_detector, suspectors=9, times=20, live=10)
        back = _probe(flap_detector, 1002.0, 500.0, [True])
        assert back is not None
        assert quarantine - 2.0 <= back - 1002.0 <= quarantine + 1.0


def test_it_stays_away_while_its_own_probes_are_not_answered_directly() -> None:
    flap_detector = FlapDetector(Settings())
    _suspected(flap_detector, suspectors=9, times=20, live=10)
    assert _probe(flap_detector, 1002.0, 300.0, [True, False, False]) is None
    assert _probe(flap_detector, 1302.0, 60.0, [True, True, False]) is not None


def _first_pings(
    flap_detector: FlapDetector, answered: list[bool], live: int = 10, unstable: int = 0
) -> int | None:
    """How many probes the member needs to find that it is unstable; None: 300 do not suffice."""
    for number in range(300):
        if flap_detector.probed(1000.0 + number / 3, answered[number % len(answered)], live, unstable):
            return number + 1
    return None


def test_a_member_whose_first_pings_mostly_fail_is_soon_unstable() -> None:
    flap_detector = FlapDetector(Settings())
    assert _first_pings(flap_detector, [False, False, True, False, False]) in range(40, 80)
    assert not flap_detector.stable


def test_a_fifth_lost_everywhere_leaves_a_member_stable() -> None:
    flap_detector = FlapDetector(Settings())
    assert _first_pings(flap_detector, [True, False, True, True, False, True, True, False]) is None
    assert not flap_detector.degraded


def test_first_pings_count_for_nothing_where_no_member_can_tell_which_link_is_bad() -> None:
    assert _first_pings(FlapDetector(Settings()), [False], live=3) is None
    assert _first_pings(FlapDetector(Settings()), [False], live=7, unstable=2) is None


def test_many_failed_first_pings_make_a_member_doubt_before_it_judges() -> None:
    flap_detector = FlapDetector(Settings())
    for _ in range(8):
        assert not flap_detector.probed(1000.0, False, live=10)
    assert flap_detector.degraded


def test_a_new_run_starts_stable() -> None:
    flap_detector = FlapDetector(Settings())
    _suspected(flap_detector, suspectors=9, times=20, live=10)
    flap_detector.restart()
    assert flap_detector.stable
