"""What is told of the slots' files is read back as it was written, and nothing else is."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leader.llama.slot_manifest import SCHEMA, SavedSlot, SlotManifest

OURS = SlotManifest(b"m" * 32, 512, 4, {})
SAVED = {0: SavedSlot("anna", 7, 100, (1, 2)), 3: SavedSlot("", 9, 200)}

saved_slots = st.dictionaries(
    st.integers(0, 3),
    st.builds(
        SavedSlot,
        st.text(max_size=80),
        st.integers(1, 1 << 40),
        st.integers(1, 1 << 50),
        st.lists(st.integers(), max_size=4).map(tuple),
    ),
)


@given(saved_slots)
def test_each_slot_comes_back_with_its_domain(slots: dict[int, SavedSlot]) -> None:
    assert OURS.of_the_same(replace(OURS, slots=slots).encode()) == slots


@pytest.mark.parametrize(
    "change",
    [{"model": b"n" * 32}, {"context": 1024}, {"count": 8}, {"kv": "q8_0"}, {"projector": b"p" * 32}],
)
def test_what_was_saved_for_another_deployment_is_not_taken(change: dict[str, Any]) -> None:
    assert OURS.of_the_same(replace(OURS, slots=SAVED, **change).encode()) == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("domain", 1),
        ("domain", None),
        ("tokens", 0),
        ("tokens", True),
        ("bytes", -1),
        ("bytes", 1.0),
        ("beginnings", [1.0]),
        ("beginnings", None),
        ("beginnings", "12"),
    ],
)
def test_one_slot_that_is_told_wrongly_spoils_all(key: str, value: object) -> None:
    told = json.loads(replace(OURS, slots=SAVED).encode())
    told["slots"]["3"][key] = value
    assert OURS.of_the_same(json.dumps(told).encode()) == {}


@pytest.mark.parametrize("slot", ["4", "-1", "00", " 0", "x"])
def test_a_slot_that_there_is_not_spoils_all(slot: str) -> None:
    told = json.loads(replace(OURS, slots=SAVED).encode())
    told["slots"][slot] = told["slots"].pop("3")
    assert OURS.of_the_same(json.dumps(told).encode()) == {}


def test_a_manifest_of_a_later_program_is_not_taken() -> None:
    told = json.loads(replace(OURS, slots=SAVED).encode())
    for later in (told | {"schema": SCHEMA + 1}, told | {"type_of_cache": "q8_0"}):
        assert OURS.of_the_same(json.dumps(later).encode()) == {}


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["slots", "0", "domain", "tokens", "bytes", "beginnings"]), inner
            )
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_garbage_is_no_manifest(content: bytes) -> None:
    assert OURS.of_the_same(content) == {}


def test_nested_garbage_is_no_manifest() -> None:
    assert OURS.of_the_same(b"[" * 100_000) == {}
