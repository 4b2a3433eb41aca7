"""What the door holds of requests is bounded, by member and in all, and given back however they end."""

import pytest

from mesh.serving.asking import held_bodies
from mesh.serving.asking.held_bodies import HeldBodies, NoRoom


@pytest.fixture
def bodies(monkeypatch: pytest.MonkeyPatch) -> HeldBodies:
    monkeypatch.setattr(held_bodies, "MAX_HELD", 10)
    monkeypatch.setattr(held_bodies, "MAX_HELD_IN_ALL", 32)
    return HeldBodies()


def test_a_members_requests_take_no_more_than_its_share(bodies: HeldBodies) -> None:
    with bodies.room("mallory") as first, bodies.room("mallory") as second, bodies.room("bert") as other:
        first.take(6)
        with pytest.raises(NoRoom):
            second.take(5)
        second.take(4)
        other.take(10)


def test_a_member_takes_no_more_than_half_of_what_others_leave(bodies: HeldBodies) -> None:
    with bodies.room("a") as a, bodies.room("b") as b, bodies.room("c") as c, bodies.room("d") as d:
        a.take(10)
        b.take(10)
        c.take(3)
        with pytest.raises(NoRoom):
            c.take(4)
        c.take(3)
        d.take(3)
        assert bodies.held.total() < 32


def test_what_was_taken_is_given_back_also_after_a_fault(bodies: HeldBodies) -> None:
    with pytest.raises(ZeroDivisionError), bodies.room("a") as room:
        room.take(10 // len(bodies.held))
    assert not bodies.held
    with bodies.room("a") as room:
        room.take(10)
