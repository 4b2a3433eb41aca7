from mesh.protocol.base.settings import Settings
from mesh.protocol.membership.flap_detection import Steadiness
from simulations.signing import KeyedHash

MEMBERS = [KeyedHash(number).id for number in range(100)]


def _accused(steadiness: Steadiness, accusers: int, times: int, live: int, gap: float = 0.1) -> bool:
    now = 1000.0
    for time in range(times):
        now += gap
        if steadiness.accused(now, MEMBERS[time % accusers], (1, time), live):
            return True
    return False


def test_most_probers_and_many_accusations_are_needed() -> None:
    assert _accused(Steadiness(Settings()), accusers=5, times=14, live=10)
    assert not _accused(Steadiness(Settings()), accusers=5, times=13, live=10)
    assert not _accused(Steadiness(Settings()), accusers=4, times=50, live=10)


def test_in_a_large_pool_half_of_two_dozen_are_enough() -> None:
    assert _accused(Steadiness(Settings()), accusers=13, times=30, live=1000)
    assert not _accused(Steadiness(Settings()), accusers=12, times=60, live=1000)


def test_accusations_far_apart_do_not_add_up() -> None:
    assert not _accused(Steadiness(Settings()), accusers=9, times=100, live=10, gap=1.2)


def test_in_a_pool_of_three_nobody_can_tell_whose_link_is_bad() -> None:
    assert not _accused(Steadiness(Settings()), accusers=2, times=100, live=3)


def test_when_a_quarter_is_unsteady_already_the_network_is_to_blame() -> None:
    accusations = [(1000.0 + number, MEMBERS[number % 9], (1, number)) for number in range(14)]
    for unsteady, enough in ((1, True), (2, False)):
        steadiness = Steadiness(Settings())
        assert any(steadiness.accused(*each, live=7, unsteady=unsteady) for each in accusations) is enough


def test_who_has_nobody_to_probe_comes_back_when_its_quarantine_is_over() -> None:
    steadiness = Steadiness(Settings())
    _accused(steadiness, accusers=9, times=20, live=10)
    assert not steadiness.alone(1010.0)
    assert steadiness.alone(1040.0)


def _probe(steadiness: Steadiness, start: float, seconds: float, direct: list[bool]) -> float | None:
    """When it becomes steady again, probing three times a second; None when it does not."""
    for number in range(int(3 * seconds)):
        now = start + number / 3
        if steadiness.probed(now, direct[number % len(direct)], live=10):
            return now
    return None


def test_it_stays_away_for_its_quarantine_which_doubles() -> None:
    steadiness = Steadiness(Settings())
    for quarantine in (30.0, 60.0, 120.0):
        assert _accused(steadiness, accusers=9, times=20, live=10)
        back = _probe(steadiness, 1002.0, 500.0, [True])
        assert back is not None
        assert quarantine - 2.0 <= back - 1002.0 <= quarantine + 1.0


def test_it_stays_away_while_its_own_probes_are_not_answered_directly() -> None:
    steadiness = Steadiness(Settings())
    _accused(steadiness, accusers=9, times=20, live=10)
    assert _probe(steadiness, 1002.0, 300.0, [True, False, False]) is None
    assert _probe(steadiness, 1302.0, 60.0, [True, True, False]) is not None


def _first_pings(
    steadiness: Steadiness, answered: list[bool], live: int = 10, unsteady: int = 0
) -> int | None:
    """How many probes it takes until the member finds that it is not steady; None: it does not, of 300."""
    for number in range(300):
        if steadiness.probed(1000.0 + number / 3, answered[number % len(answered)], live, unsteady):
            return number + 1
    return None


def test_whose_first_pings_mostly_fail_is_not_steady_before_long() -> None:
    steadiness = Steadiness(Settings())
    assert _first_pings(steadiness, [False, False, True, False, False]) in range(40, 80)
    assert not steadiness.holds


def test_a_fifth_lost_everywhere_leaves_a_member_steady() -> None:
    steadiness = Steadiness(Settings())
    assert _first_pings(steadiness, [True, False, True, True, False, True, True, False]) is None
    assert not steadiness.doubtful


def test_first_pings_count_for_nothing_where_nobody_can_tell_whose_link_is_bad() -> None:
    assert _first_pings(Steadiness(Settings()), [False], live=3) is None
    assert _first_pings(Steadiness(Settings()), [False], live=7, unsteady=2) is None


def test_many_failed_first_pings_make_a_member_doubt_before_it_judges() -> None:
    steadiness = Steadiness(Settings())
    for _ in range(8):
        assert not steadiness.probed(1000.0, False, live=10)
    assert steadiness.doubtful


def test_a_new_run_starts_steady() -> None:
    steadiness = Steadiness(Settings())
    _accused(steadiness, accusers=9, times=20, live=10)
    steadiness.restart()
    assert steadiness.holds
