"""Tools chosen by name."""

import pytest

from leader.door.bodies.tool_choices import only_named
from leader.door.orders import Unacceptable

TOOLS = [{"type": "function", "function": {"name": name}} for name in "abc"]


def test_only_tools_of_these_names_are_left_in_their_order() -> None:
    assert only_named(TOOLS, ["c", "a"], "f") == [TOOLS[0], TOOLS[2]]


def test_a_name_that_no_tool_has_is_blamed() -> None:
    with pytest.raises(Unacceptable) as raised:
        only_named(TOOLS, ["a", "x"], "tool_choice.name")
    assert raised.value.field == "tool_choice.name"
    assert "x" in raised.value.message
