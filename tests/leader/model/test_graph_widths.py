"""The widths of a graph, by a header's keys: of attention, feed-forwards, experts and of what recurs."""

from hypothesis import given
from hypothesis import strategies as st

from leader.model.graph_widths import MAX_TURNED, MAX_WIDTH, GraphWidths, read_widths
from leader.model.header_values import Value
from tests.leader.model.test_header_values import VALUES

E = 512


def widths(architecture: str = "llama", **keys: Value) -> GraphWidths:
    base: dict[str, Value] = {"attention.head_count": 8, "attention.head_count_kv": 2}
    base |= {key.replace("__", "."): value for key, value in keys.items()}
    return read_widths(architecture, {f"{architecture}.{key}": value for key, value in base.items()}, 4, E)


def test_a_dense_layer_is_as_wide_as_its_feed_forward() -> None:
    assert widths(feed_forward_length=1536) == GraphWidths(3 * E + 3 * 1536, E, turned=64)
    assert widths(feed_forward_length=(0, 96, 1536, 0)).inner == 3 * E + 3 * 1536


def test_attention_counts_where_it_is_wider() -> None:
    assert widths(feed_forward_length=1).inner == 3 * E + 2 * E
    assert widths(feed_forward_length=1, attention__key_length=256).inner == 3 * E + 2 * 8 * 256


def test_all_experts_that_a_token_visits_count_with_what_each_gives() -> None:
    few_wide = widths(feed_forward_length=1, expert_used_count=2, expert_feed_forward_length=1024)
    many_narrow = widths(feed_forward_length=1, expert_used_count=8, expert_feed_forward_length=64)
    assert few_wide.inner == 3 * E + 3 * 2 * 1024
    assert many_narrow.inner == 3 * E + 8 * (E + 64)
    same = widths(feed_forward_length=100, expert_used_count=8, expert_feed_forward_length=0)
    assert same.inner == 3 * E + 8 * (E + 100), "experts without a width of their own have the layer's"


def test_scores_are_kept_by_row_where_there_is_no_flash_attention() -> None:
    assert (widths("grok").by_row, widths("grok").mask) == (8, 4)
    assert (widths().by_row, widths().mask) == (0, 2)


def test_streams_are_handed_on_together() -> None:
    assert widths("deepseek4", hyper_connection__count=4).handed == 4 * E
    assert widths("gemma4", embedding_length_per_layer_input=256).handed == E + 4 * 256


@given(
    architecture=st.sampled_from(["llama", "grok", "mamba2", "deepseek32", "qwen4exp", "minimax-01"]),
    values=st.dictionaries(
        st.sampled_from([
            "attention.head_count", "attention.head_count_kv", "attention.key_length", "expert_used_count",
            "attention.key_length_mla", "feed_forward_length", "expert_feed_forward_length",
            "ssm.inner_size", "ssm.group_count", "ssm.state_size", "attention.indexer.head_count",
            "attention.indexer.key_length", "attention.compress_ratios", "hyper_connection.count",
        ]),
        VALUES,
    ),
)  # fmt: skip
def test_any_header_gives_bounded_widths(architecture: str, values: dict[str, Value]) -> None:
    found = read_widths(
        architecture, {f"{architecture}.{key}": value for key, value in values.items()}, 3, 64
    )
    assert 0 < found.inner <= MAX_WIDTH
    assert 0 < found.handed <= MAX_WIDTH
    assert 0 <= found.by_row <= MAX_WIDTH
    assert 0 <= found.turned <= MAX_TURNED
