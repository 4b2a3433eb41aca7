from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from leader.door.bodies.fields import (
    MOST_DROPPED,
    Dropped,
    Rule,
    are_tokens,
    boolean,
    engines_own,
    nesting,
    number,
    one_of,
    rebuilt,
    text,
    texts,
    whole,
    within_context,
)
from leader.door.orders import EngineFacts, Unacceptable

FACTS = EngineFacts("model", 8192, 4)
RULES: dict[str, Rule] = {"a": boolean, "b": whole(0, 5)}


@pytest.mark.parametrize(
    ("rule", "value", "kept"),
    [
        (boolean, True, True),
        (whole(0, 5), 5, 5),
        (whole(0, 5), 5.0, 5),
        (whole(0, 5, clamped=True), -1, 0),
        (number(0.0, 1.0), 1, 1.0),
        (number(0.0, 1.0, clamped=True), 1e308, 1.0),
        (within_context, 2**31 - 1, 8192),
        (text(3), "abc", "abc"),
        (one_of("a", "b"), "b", "b"),
        (texts(2, 3), ["abc", ""], ["abc", ""]),
        (engines_own(-1), -1, None),
    ],
)
def test_a_value_within_its_bounds_is_kept(rule: Rule, value: Any, kept: Any) -> None:
    assert rule(value, "field", FACTS) == kept


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        (boolean, 1),
        (boolean, "true"),
        (whole(0, 5), True),
        (whole(0, 5), 6),
        (whole(0, 5), 1.5),
        (whole(0, 5), float("inf")),
        (whole(0, 5), "1"),
        (number(0.0, 1.0), float("inf")),
        (number(0.0, 1.0), 10**400),
        (number(0.0, 1.0), True),
        (number(0.0, 1.0), 2),
        (within_context, -1),
        (text(3), "abcd"),
        (text(3), 5),
        (one_of("a"), ["a"]),
        (texts(1, 3), ["a", "b"]),
        (texts(1, 3), [5]),
        (texts(1, 3), "a"),
        (engines_own(0), False),
        (engines_own(0), 1),
    ],
)
def test_a_value_out_of_bounds_or_of_another_type_names_its_field(rule: Rule, value: Any) -> None:
    with pytest.raises(Unacceptable) as refused:
        rule(value, "the.field", FACTS)
    assert refused.value.field == "the.field"


def test_an_object_is_written_anew_from_known_fields_and_null_is_absent() -> None:
    dropped = Dropped()
    assert rebuilt({"a": None, "b": 3, "c": 4}, RULES, FACTS, dropped, "x", 2) == {"b": 3}
    assert dropped.names == ["x.2.c"]


def test_the_same_field_of_many_objects_is_named_once() -> None:
    dropped = Dropped()
    for at in range(5):
        dropped.add("extra", f"messages.{at}.content", at)
    assert dropped.names == ["messages.0.content.0.extra"]


@given(st.lists(st.text(), max_size=80))
@example([""])
def test_dropped_names_fit_into_a_header(names: list[str]) -> None:
    dropped = Dropped()
    for name in names:
        dropped.add(name)
    assert len(dropped.names) <= MOST_DROPPED
    assert all(1 <= len(name) <= 64 and all("!" <= one <= "~" for one in name) for name in dropped.names)


def test_ids_of_tokens_are_whole_numbers_of_31_bits() -> None:
    assert are_tokens([0, 5, 2**31 - 1])
    wrong: list[list[Any]] = [[True], [-1], [2**31], [1.0], ["a"]]
    assert not any(map(are_tokens, wrong))


def test_brackets_in_strings_are_not_nested() -> None:
    assert nesting("[" * 100 + "]" * 100) > 64
    assert nesting("[]" * 100) == 1
    assert nesting('"' + "[" * 100 + '"') == 0
    assert nesting('"\\"' + "[" * 100) == 0
    assert nesting("{" * 3) == 0
