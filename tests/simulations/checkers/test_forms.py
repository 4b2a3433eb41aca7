import pytest

from simulations.checkers.forms import own_record
from simulations.programs import FORMER, PRESENT, form_of
from simulations.world import World
from tests.simulations.checkers.watched import Watched


def _pool(older: int = 1) -> Watched:
    """Four hosts whose last ones are restarted with version 2; the rest publish their builds."""
    pool = Watched()
    for host in pool.hosts:
        host.profile = PRESENT.described(host.profile, 1)
        pool.world.do(host, "publish", host.profile)
    for host in pool.hosts[4 - older :]:
        pool.world.crash(host)
        host.program, host.profile = FORMER, FORMER.described(host.profile, 0)
        pool.world.restart(host)
    return pool


def _ignore_members(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.protocol.membership.form_choice.FormChoice.review", lambda _: None)


def test_members_that_take_the_older_form_in_time_are_not_blamed() -> None:
    pool = _pool()
    pool.world.run(20.0)
    assert pool.said == ""
    record = own_record(pool.hosts[0])
    assert record is not None
    assert form_of(record) == 2


def test_who_goes_on_in_a_form_that_a_present_member_cannot_read_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = _pool()
    _ignore_members(monkeypatch)
    pool.world.run(20.0)
    assert (
        "forms: host0 signs in the form of version 3 though it has known for long that host3 speaks 2"
        in pool.said
    )


def test_a_process_that_stood_still_has_its_time_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = _pool()
    _ignore_members(monkeypatch)
    pool.world.run(1.0)
    for host in pool.hosts[:3]:
        pool.world.pause(host, 30.0)
    pool.world.run(20.0)
    assert pool.said == ""


def test_liars_and_what_they_speak_excuse_all(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = _pool()
    _ignore_members(monkeypatch)
    pool.checkers.excuses.liars.add(pool.hosts[3].id)
    pool.world.run(20.0)
    assert pool.said == ""


def test_a_host_without_a_record_of_itself_has_no_form() -> None:
    world = World(1)
    host = world.add()
    world.boot(host)
    assert host.node is not None
    assert own_record(host) is None
