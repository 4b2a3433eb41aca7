"""How a model's use is told in its header, in whatever form the numbers come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leader.model.header_uses import POOLINGS, head_width, is_causal, told_pooling
from leader.model.header_values import Value

values = st.one_of(
    st.integers(),
    st.floats(),
    st.booleans(),
    st.text(max_size=3),
    st.none(),
    st.lists(st.integers()).map(tuple),
)


@pytest.mark.parametrize(("told", "name"), list(enumerate(POOLINGS)))
def test_each_way_to_make_a_vector_is_known_by_its_number(told: int, name: str) -> None:
    for form in (told, float(told)):
        assert told_pooling({"bert.pooling_type": form}, "bert") == name


@pytest.mark.parametrize("told", [5, -1, None, "mean", 2.5])
def test_a_way_that_is_not_known_is_none(told: Value) -> None:
    assert told_pooling({"bert.pooling_type": told}, "bert") == ""
    assert told_pooling({}, "bert") == ""


def test_a_token_reads_those_before_it_unless_the_file_says_otherwise() -> None:
    assert is_causal({}, "bert")
    assert is_causal({"bert.attention.causal": True}, "bert")
    assert not is_causal({"bert.attention.causal": False}, "bert")


def test_a_heads_width_is_told_or_follows_from_their_number() -> None:
    told = {"llama.attention.head_count": 8, "llama.attention.value_length": 96}
    assert head_width(told, "llama", "key", 512) == 64
    assert head_width(told, "llama", "value", 512) == 96
    assert head_width({}, "llama", "key", 512) == 0


@given(values, values, values)
def test_no_header_is_refused_for_its_use(pooling: Value, causal: Value, heads: Value) -> None:
    told = {"a.pooling_type": pooling, "a.attention.causal": causal, "a.attention.head_count": heads}
    assert told_pooling(told, "a") in {"", *POOLINGS}
    assert is_causal(told, "a") in (True, False)
    assert head_width(told, "a", "key", 512) >= 0
