"""Deaths of the engine, and who is blamed for them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leader.door.askers import blame
from leader.door.askers.blame import EngineDeaths
from tests.leader.door.attacked_engine import AttackedEngine


def death_of(deaths: EngineDeaths, now: float, *members: str, owners: tuple[str, ...] = ()) -> list[str]:
    """The engine dies while it computes one new request of each, the last of which began last."""
    for place, member in enumerate(members):
        digest = f"{member} {now}".encode()
        deaths.begin(now + place / 100, member, digest, owner=member in owners)
    return list(deaths.died(now + 1))


def test_who_was_alone_is_suspended_at_once() -> None:
    deaths = EngineDeaths()
    assert death_of(deaths, 0.0, "mallory") == ["mallory"]
    refused = deaths.refusal(31.0, "mallory", b"another")
    assert refused is not None
    assert (refused.status, refused.code, refused.retry_after) == (429, "suspended", 30.0)
    assert "suspended for 30 s more" in refused.message
    assert deaths.refusal(31.0, "anna", b"another") is None
    assert deaths.refusal(61.0, "mallory", b"another") is None


def test_a_suspension_doubles_up_to_an_hour_and_is_forgotten_after_a_quiet_one() -> None:
    deaths, now, seconds = EngineDeaths(), 0.0, []
    for _ in range(9):
        death_of(deaths, now, "mallory")
        seconds.append(deaths.suspended_seconds(now + 1, "mallory"))
        now += 2 + seconds[-1]
    assert seconds == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    death_of(deaths, now + blame.QUIET, "mallory")
    assert deaths.suspended_seconds(now + blame.QUIET + 1, "mallory") == 60
    assert deaths.deaths("mallory") == 10


def test_of_two_the_one_at_both_deaths_is_the_culprit_and_the_others_are_cleared() -> None:
    deaths = EngineDeaths()
    assert death_of(deaths, 0.0, "anna", "mallory") == []
    assert death_of(deaths, 10.0, "mallory", "bert") == ["mallory"]
    for now in (20.0, 30.0):
        assert death_of(deaths, now, "anna", "bert", "carl") == [], "no share is left of what is explained"


def test_of_equals_whose_request_began_last_is_the_culprit() -> None:
    deaths = EngineDeaths()
    assert [death_of(deaths, now, "anna", "mallory") for now in (0.0, 10.0)] == [[], ["mallory"]]


def test_one_coincidence_makes_nobody_the_last() -> None:
    deaths = EngineDeaths()
    deaths.begin(-10.0, "anna", b"an answer, cut off")
    assert death_of(deaths, 0.0, "mallory") == []
    assert death_of(deaths, 10.0, "mallory", "anna") == ["mallory"]


def test_one_death_has_one_culprit() -> None:
    deaths = EngineDeaths()
    blamed = [death_of(deaths, float(now), "anna", "bert", "mallory") for now in range(0, 60, 10)]
    assert blamed == [[], [], ["mallory"]] * 2


def test_shares_fade() -> None:
    deaths = EngineDeaths()
    assert not any(death_of(deaths, hour * 3600.0, "anna", "bert") for hour in range(20))


def test_a_request_is_repeated_once() -> None:
    deaths = EngineDeaths()
    for now in (0.0, 100.0):
        assert deaths.refusal(now, "mallory", b"killer") is None
        deaths.begin(now, "mallory", b"killer")
        deaths.died(now)
        assert deaths.goes_first("mallory", b"killer")
    refused = deaths.refusal(400.0, "mallory", b"killer")
    assert refused is not None
    assert (refused.status, refused.code, refused.retry_after) == (422, "engine_died", 0.0)
    assert deaths.refusal(400.0, "mallory", b"another") is None
    assert deaths.refusal(400.0, "anna", b"killer") is None, "nobody has another's requests refused"
    assert deaths.refusal(100.0 + blame.REMEMBERED, "mallory", b"killer") is None


def test_a_request_is_cleared_with_its_member() -> None:
    deaths = EngineDeaths()
    for now in (0.0, 10.0):
        deaths.begin(now - 0.1, "anna", b"long")
        death_of(deaths, now, "mallory")
    assert deaths.suspended_seconds(11.0, "mallory") > 0
    assert deaths.refusal(11.0, "anna", b"long") is None
    assert not deaths.goes_first("anna", b"long")


def test_what_had_ended_before_has_no_part_in_a_death() -> None:
    deaths = EngineDeaths()
    ended = deaths.begin(0.0, "anna", b"1")
    deaths.end(0.5, ended)
    deaths.end(0.5, ended, whole=False)
    assert death_of(deaths, 1.0, "mallory") == ["mallory"]
    assert deaths.deaths("anna") == 0
    assert deaths.died(2.0) == (), "nothing was in it"


@pytest.mark.parametrize(("seconds", "suspended"), [(1.0, ["mallory"]), (blame.LINGER + 1, [])])
def test_who_hangs_up_before_the_engine_dies_is_blamed_for_a_moment(
    seconds: float, suspended: list[str]
) -> None:
    deaths = EngineDeaths()
    request = deaths.begin(0.0, "mallory", b"killer")
    deaths.end(0.2, request, whole=False)
    deaths.end(0.9, request, whole=False)
    assert deaths.present(seconds) == suspended
    assert list(deaths.died(seconds)) == suspended
    assert deaths.died(seconds) == ()


def test_hanging_up_often_fills_no_memory_and_clears_nobody() -> None:
    deaths = EngineDeaths()
    for number in range(1000):
        deaths.end(1.0, deaths.begin(0.0, "mallory", b"%d" % number), whole=False)
    assert len(deaths._running) == blame.MAX_LINGERING
    assert deaths.died(1.0) == ("mallory",)


def test_an_owner_is_counted_and_not_suspended() -> None:
    deaths = EngineDeaths()
    assert [death_of(deaths, now, "anna", owners=("anna",)) for now in (0.0, 1.0, 2.0)] == [[], [], []]
    assert deaths.deaths("anna") == 3
    assert deaths.suspended_seconds(2.0, "anna") == 0


def test_an_owner_by_whom_the_engine_dies_spares_the_others() -> None:
    deaths = EngineDeaths()
    assert death_of(deaths, 0.0, "bert", "anna", owners=("anna",)) == []
    assert death_of(deaths, 10.0, "carl", "anna", owners=("anna",)) == []
    assert death_of(deaths, 20.0, "bert", "carl") == [], "what the owner did is explained"


def test_nobody_hides_behind_an_owner() -> None:
    deaths = EngineDeaths()
    blamed = [death_of(deaths, now, "mallory", "anna", owners=("anna",)) for now in (0.0, 10.0)]
    assert blamed == [[], ["mallory"]]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAX_REQUESTS", "MAX_DEATHS", "MAX_BLAMED"):
        monkeypatch.setattr(blame, name, 8)
    deaths = EngineDeaths()
    for number in range(100):
        death_of(deaths, number / 10, *(f"{member} of {number}" for member in "abcd"))
    assert len(deaths._requests) == len(deaths._deaths) == len(deaths._blamed) == 8


def test_room_for_the_blamed_is_not_made_by_letting_the_suspended_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blame, "MAX_BLAMED", 4)
    deaths = EngineDeaths()
    death_of(deaths, 0.0, "mallory")
    for number in range(8):
        death_of(deaths, 1.0 + number, *(f"{member} of {number}" for member in "abc"))
    assert deaths.suspended_seconds(10.0, "mallory") > 0


_STEPS = st.lists(
    st.tuples(st.sampled_from(["begin", "end", "die"]), st.integers(0, 4), st.integers(0, 2)), max_size=60
)


@given(_STEPS)
def test_whatever_comes_a_death_suspends_at_most_one_that_was_in_the_engine(
    steps: list[tuple[str, int, int]],
) -> None:
    deaths, running, now = EngineDeaths(), [], 0.0
    for what, who, which in steps:
        now += 1.0
        member = f"member {who}"
        if what == "begin" and deaths.refusal(now, member, b"%d" % which) is None:
            running.append(deaths.begin(now, member, b"%d" % which, owner=who == 0))
        elif what == "end" and running:
            deaths.end(now, running.pop(which % len(running)))
        elif what == "die":
            suspended = deaths.died(now)
            assert len(suspended) <= 1
            assert {*suspended} <= {one.member for one in running if not one.owner}
            assert all(deaths.suspended_seconds(now, one) >= blame.FIRST_SUSPENSION for one in suspended)
            running.clear()


@pytest.mark.parametrize(("innocents", "most"), [(0, 1), (1, 3), (2, 5), (3, 7), (6, 9)])
def test_an_attacker_among_busy_members_is_suspended_after_a_few_deaths(innocents: int, most: int) -> None:
    outcomes = [AttackedEngine(seed, innocents).run() for seed in range(20)]
    assert all(0 < one.first <= most for one in outcomes)
    assert sum(one.innocents_suspended for one in outcomes) <= 0.2 * len(outcomes)
    assert sum(one.innocent_seconds for one in outcomes) <= 0.05 * 300 * len(outcomes)


@pytest.mark.parametrize("innocents", [1, 2])
def test_who_strikes_alone_is_all_that_is_suspended(innocents: int) -> None:
    outcomes = [AttackedEngine(seed, innocents, think=20.0, alone=True).run() for seed in range(20)]
    assert all(one.first <= 4 for one in outcomes)
    assert sum(one.innocents_suspended for one in outcomes) == 0
