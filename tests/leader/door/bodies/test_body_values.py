"""A value of the wrong type is blamed by its name."""

from collections.abc import Callable
from typing import Any

import pytest

from leader.door.bodies.body_values import json_at, list_at, object_at, text_at
from leader.door.orders import Unacceptable


@pytest.mark.parametrize(
    ("read", "good", "bad"), [(text_at, "x", 1), (object_at, {"a": 1}, [1]), (list_at, [1], {"a": 1})]
)
def test_a_value_is_taken_or_its_field_is_blamed(
    read: Callable[[object, str], Any], good: object, bad: object
) -> None:
    assert read(good, "a.b") is good
    for wrong in (bad, None):
        with pytest.raises(Unacceptable) as raised:
            read(wrong, "a.b")
        assert raised.value.field == "a.b"


def test_json_is_compact_and_no_depth_breaks_it() -> None:
    assert json_at({"a": ["é", 1]}, "x") == '{"a":["é",1]}'
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(Unacceptable, match="x: is nested too deeply"):
        json_at(deep, "x")
    while deep:
        # Its end would recurse as well.
        deep = deep.pop()
