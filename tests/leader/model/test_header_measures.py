"""Memory by a header's numbers: one number for all layers, lists, and forms that no model should have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leader.model.header_measures import (
    draft_layers,
    ffn_width,
    heads,
)
from leader.model.header_values import MAX_NUMBER, Value
from tests.leader.model.test_header_values import VALUES

KEYS = (
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.sliding_window",
    "feed_forward_length",
    "expert_feed_forward_length",
    "expert_used_count",
    "expert_shared_feed_forward_length",
    "nextn_predict_layers",
    "ssm.inner_size",
    "ssm.state_size",
    "ssm.group_count",
    "ssm.conv_kernel",
)


def of(**numbers: Value) -> dict[str, Value]:
    """A header of the architecture ``a``; two underscores stand for a dot."""
    return {f"a.{name.replace('__', '.')}": value for name, value in numbers.items()}


def test_a_list_of_expert_widths_counts_by_its_widest() -> None:
    dense = of(feed_forward_length=100, expert_used_count=2)
    assert ffn_width({**dense, **of(expert_feed_forward_length=70)}, "a", 3, 64) == 140
    assert ffn_width({**dense, **of(expert_feed_forward_length=(0, 50, 80))}, "a", 3, 64) == 160
    assert ffn_width({**dense, **of(expert_feed_forward_length=None)}, "a", 3, 64) == 200
    assert ffn_width({}, "a", 3, 64) == 256


@pytest.mark.parametrize(
    ("architecture", "stated", "skipped"),
    [("a", 1, 1), ("a", 0, 0), ("a", 4, 0), ("a", "one", 0), ("gemma4-assistant", 1, 0)],
    ids=["one", "none", "as many as layers", "no number", "loaded"],
)
def test_draft_layers_are_the_last_ones_where_others_are_left(
    architecture: str, stated: Value, skipped: int
) -> None:
    assert draft_layers({f"{architecture}.nextn_predict_layers": stated}, architecture, 4) == skipped


@given(values=st.fixed_dictionaries({}, optional={f"a.{key}": VALUES for key in KEYS}))
def test_no_header_is_refused_for_what_feeds_an_estimate(values: dict[str, Value]) -> None:
    assert 0 <= ffn_width(values, "a", 3, 64) <= MAX_NUMBER
    assert 0 <= draft_layers(values, "a", 3) < 3
    assert min(heads(values, "a", 3)) >= 0
