from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from leader.door.bodies.beginnings import MOST_PIECES, PIECE, beginnings_of, of_chat, of_infill, of_prompt

MESSAGES = st.lists(
    st.fixed_dictionaries({"role": st.just("user"), "content": st.text("abc \n", max_size=600)}), max_size=6
)


def shared(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    return next(
        (at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]),
        min(len(one), len(other)),
    )


@given(MESSAGES, MESSAGES)
def test_the_next_turn_begins_with_all_of_the_turn_before(before: list[Any], more: list[Any]) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    first = of_chat({"tools": tools, "messages": before})
    second = of_chat({"tools": tools, "messages": [*before, *more]})
    assert second[: len(first)] == first


@given(st.binary(max_size=2000), st.binary(max_size=2000))
def test_as_many_are_equal_as_pieces_are(one: bytes, other: bytes) -> None:
    common = 0
    while one[common : common + 1] and one[common : common + 1] == other[common : common + 1]:
        common += 1
    assert shared(beginnings_of([one]), beginnings_of([other])) == common // PIECE


@given(st.lists(st.integers(0, 2**31 - 1), max_size=300), st.lists(st.integers(0, 9), max_size=300))
def test_longer_prompts_of_ids_begin_with_the_shorter(ids: list[int], more: list[int]) -> None:
    first = of_prompt(ids)
    assert of_prompt([*ids, *more])[: len(first)] == first or more == []


def test_long_prompts_have_a_bounded_number() -> None:
    assert len(of_prompt("x" * (1 << 21))) == MOST_PIECES
    assert len(beginnings_of([b"x" * 100] * 100_000)) == MOST_PIECES


def test_another_middle_leaves_the_beginning_of_an_infill() -> None:
    files = [{"text": "x" * 1000, "filename": "f"}]
    one = of_infill({"input_extra": files, "input_prefix": "a", "input_suffix": "b"})
    other = of_infill({"input_extra": files, "input_prefix": "c" * 999, "input_suffix": "b"})
    assert shared(one, other) >= 3
