"""Values: equal by what they hold, without room for anything else."""

from __future__ import annotations

import pytest

from mesh.wire.immutable import value


@value
class Point:
    x: int
    y: int = 0


def test_values_with_the_same_fields_are_equal_and_hash_alike() -> None:
    assert Point(1, 2) == Point(1, 2) != Point(2, 1)
    assert {Point(1), Point(1, 0)} == {Point(1)}


def test_a_value_holds_nothing_but_its_fields() -> None:
    point = Point(1)
    with pytest.raises(AttributeError):
        point.z = 3  # type: ignore[attr-defined]
