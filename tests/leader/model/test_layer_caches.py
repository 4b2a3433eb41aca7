"""What each layer keeps of a context is read as the engine reads it, and never too little where it is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leader.model.engine_settings import KV_TYPES
from leader.model.header_values import Value
from leader.model.layer_caches import (
    MAX_ELEMENTS,
    CacheRows,
    LayerCache,
    layer_count,
    read_caches,
)

F16, Q8 = KV_TYPES["f16"], KV_TYPES["q8_0"]
MIB, GIB = 1 << 20, 1 << 30


def header(architecture: str, **keys: Value) -> dict[str, Value]:
    """A header of heads 64 wide, 8 of them, 2 of them with keys; ``__`` in a key stands for a dot."""
    base: dict[str, Value] = {"attention.head_count": 8, "attention.head_count_kv": 2}
    base |= {key.replace("__", "."): value for key, value in keys.items()}
    return {f"{architecture}.{key}": value for key, value in base.items()}


def caches(architecture: str, layers: int, **keys: Value) -> tuple[LayerCache, ...]:
    return read_caches(architecture, header(architecture, **keys), layers, 512)


def windows(architecture: str, layers: int, **keys: Value) -> list[int]:
    """Each layer's window; 0: it sees all."""
    return [cache.rows[0].window for cache in caches(architecture, layers, **keys)]


def test_a_plain_layer_keeps_keys_and_values_of_each_token() -> None:
    (layer,) = caches("llama", 1)
    assert layer == LayerCache((CacheRows(128), CacheRows(128)))
    assert layer.size(1024, F16) == 2 * 128 * 2 * 1024
    assert layer.size(1024, Q8) == 2 * 4 * 34 * 1024
    assert layer.size(1, F16) == layer.size(256, F16), "the engine rounds a context up"


@pytest.mark.parametrize(
    ("architecture", "layers", "keys", "expected"),
    [
        ("gemma3", 12, {"attention__sliding_window": 512}, [512] * 5 + [0] + [512] * 5 + [0]),
        ("gemma2", 3, {}, [4096, 0, 4096]),
        ("gpt-oss", 4, {"attention__sliding_window": 128}, [128, 0, 128, 0]),
        ("cohere2", 5, {"attention__sliding_window": 100}, [100, 100, 100, 0, 100]),
        ("smallthinker", 5, {"attention__sliding_window": 7}, [0, 4096, 4096, 4096, 0]),
        ("llama4", 4, {}, [8192, 8192, 8192, 0]),
        ("llama4", 4, {"attention__sliding_window": 0}, [0] * 4),
        ("exaone4", 4, {"attention__sliding_window": 64}, [0] * 4),
        ("olmo2", 4, {}, [0] * 4),
        ("phi3", 2, {"attention__sliding_window": 64}, [0, 0]),
        ("llama", 2, {"attention__sliding_window": 64}, [0, 0]),
        ("a newer one", 2, {"attention__sliding_window": 64}, [0, 0]),
        ("gemma3", 4, {"attention__sliding_window": 8, "attention__sliding_window_pattern": 2}, [8, 0, 8, 0]),
        ("gemma3", 4, {"attention__sliding_window": 8, "attention__sliding_window_pattern": 0}, [8] * 4),
        ("gemma3", 3, {"attention__sliding_window": 8, "attention__sliding_window_pattern": 1}, [0] * 3),
        (
            "mimo2", 3, {"attention__sliding_window": 8, "attention__sliding_window_pattern": (1, 0, 1)},
            [8, 0, 8],
        ),
        (
            "mimo2", 3, {"attention__sliding_window": 8, "attention__sliding_window_pattern": (1,)},
            [8, 0, 0],
        ),
    ],
)  # fmt: skip
def test_windows_follow_the_pattern_of_the_file_or_of_the_architecture(
    architecture: str, layers: int, keys: dict[str, Value], expected: list[int]
) -> None:
    assert windows(architecture, layers, **keys) == expected


def test_a_layer_with_a_window_keeps_the_window_and_a_prefill() -> None:
    rows = CacheRows(128, window=512)
    assert rows.cells(131072) == 1024
    assert rows.cells(300) == 512
    assert CacheRows(128, window=500).cells(131072) == 1024


def test_gemma_3_with_62_layers_takes_about_eleven_gib_at_131072() -> None:
    keys = {"attention__sliding_window": 1024, "attention__key_length": 128, "attention__value_length": 128}
    layers = read_caches(
        "gemma3", header("gemma3", **keys) | {"gemma3.attention.head_count_kv": 16}, 62, 5376
    )
    assert 10 * GIB < sum(layer.size(131072, F16) for layer in layers) < 11 * GIB


def test_latent_attention_keeps_no_values() -> None:
    latent = {"attention__key_length_mla": 192, "attention__value_length_mla": 128}
    keys = {"attention__key_length": 576, "attention__value_length": 512, "attention__head_count_kv": 1}
    assert caches("deepseek2", 1, **keys, **latent) == (LayerCache((CacheRows(576),)),)
    assert caches("deepseek2", 1, **keys) == (LayerCache((CacheRows(576), CacheRows(512))),)


def test_layers_that_share_anothers_rows_keep_none() -> None:
    assert sum(bool(cache.rows) for cache in caches("gemma3n", 30, attention__sliding_window=512)) == 20
    shared = caches("gemma4", 5, attention__sliding_window=512, attention__shared_kv_layers=2)
    assert [bool(cache.rows) for cache in shared] == [True, True, True, False, False]


def test_a_pure_recurrent_model_keeps_a_state_alone() -> None:
    ssm = {"ssm__conv_kernel": 4, "ssm__inner_size": 1024, "ssm__state_size": 16}
    (layer,) = caches("mamba", 1, **ssm)
    assert layer == LayerCache((), (3 * (1024 + 0) + 1024 * 16) * 4)
    assert layer.size(131072, F16) == layer.size(1, F16) == layer.checkpoint(131072, F16)
    (layer,) = caches("rwkv7", 1, wkv__head_size=64)
    assert layer.state == (2 * 512 + 512 * 64) * 4


def test_a_hybrids_layers_are_told_by_their_heads() -> None:
    one, two = caches("lfm2", 2, attention__head_count_kv=(2, 0), shortconv__l_cache=3)
    assert one.state == 0
    assert two == LayerCache((), 2 * 512 * 4)
    assert len(one.rows) == 2


def test_a_hybrids_layers_are_told_by_an_interval_or_a_list() -> None:
    ssm = {"ssm__conv_kernel": 4, "ssm__inner_size": 1024, "ssm__state_size": 16, "ssm__group_count": 2}
    assert [bool(layer.rows) for layer in caches("qwen3next", 8, **ssm)] == [False] * 3 + [True] + [
        False
    ] * 3 + [True]
    assert [
        bool(layer.rows) for layer in caches("qwen3next", 2, **ssm, attention__recurrent_layers=(0, 1))
    ] == [True, False]


def test_a_layer_may_keep_both_rows_and_a_state() -> None:
    (layer,) = caches("falcon-h1", 1, ssm__conv_kernel=4, ssm__inner_size=64, ssm__state_size=16)
    assert len(layer.rows) == 2
    assert layer.state > 0


def test_layers_that_neither_attend_nor_recur_keep_nothing() -> None:
    layers = caches(
        "nemotron_h", 3, attention__head_count_kv=(0, 2, 0), feed_forward_length=(0, 0, 96),
        ssm__conv_kernel=4, ssm__inner_size=64, ssm__state_size=16,
    )  # fmt: skip
    assert [(bool(layer.rows), layer.state > 0) for layer in layers] == [
        (False, True), (True, False), (False, False),
    ]  # fmt: skip


def test_models_that_only_embed_keep_nothing() -> None:
    assert caches("bert", 2) == (LayerCache(), LayerCache())


def test_draft_layers_keep_nothing() -> None:
    layers = caches("glm4moe", 4, nextn_predict_layers=1)
    assert [bool(layer.rows) for layer in layers] == [True, True, True, False]


def test_sparse_attention_keeps_the_keys_by_which_it_selects() -> None:
    keys = {
        "attention__key_length": 576, "attention__value_length": 512, "attention__head_count_kv": 1,
        "attention__key_length_mla": 192, "attention__value_length_mla": 128,
        "attention__indexer__key_length": 128,
    }  # fmt: skip
    assert caches("deepseek32", 1, **keys) == (LayerCache((CacheRows(576), CacheRows(128))),)
    told = caches("glm-dsa", 2, **keys, attention__indexer__types=(1, 0))
    assert [len(layer.rows) for layer in told] == [2, 1]


def test_the_engine_counts_layers_that_it_adds_or_repeats() -> None:
    assert layer_count("llama", header("llama", block_count=7)) == 7
    assert layer_count("nanbeige", header("nanbeige", block_count=7, num_loops=2)) == 14
    assert layer_count("graniteswitch", header("graniteswitch", block_count=7)) == 8


numbers = st.integers(-(2**63), 2**64) | st.floats() | st.booleans() | st.text(max_size=3) | st.none()
ARCHITECTURES = [
    "llama", "gemma3", "gemma4", "deepseek2", "deepseek4", "glm-dsa", "minimax-m3", "qwen4exp", "mamba",
    "rwkv7", "lfm2", "nemotron_h", "falcon-h1", "jamba", "kimi-linear", "minimax-01", "exaone4", "?",
]  # fmt: skip
KEYS = [
    "attention.head_count", "attention.head_count_kv", "attention.key_length", "attention.value_length",
    "attention.sliding_window", "attention.sliding_window_pattern", "attention.key_length_mla",
    "attention.value_length_mla", "attention.shared_kv_layers", "attention.recurrent_layers",
    "attention.compress_ratios", "attention.indexer.key_length", "attention.indexer.types",
    "attention.indexer.top_k", "full_attention_interval", "feed_forward_length", "nextn_predict_layers",
    "ssm.conv_kernel", "ssm.inner_size", "ssm.state_size", "ssm.group_count", "wkv.head_size",
    "shortconv.l_cache", "kda.head_dim", "ple.layers", "ple.conv_kernel", "ple.ngram_size",
]  # fmt: skip


@given(
    architecture=st.sampled_from(ARCHITECTURES),
    metadata=st.dictionaries(
        st.sampled_from(KEYS), numbers | st.lists(st.integers(-1, 2**32), max_size=6).map(tuple)
    ),
    layers=st.integers(1, 8),
    n_embd=st.integers(1, 1 << 24),
    context=st.integers(1, 1 << 22),
)
def test_any_header_gives_a_bounded_number_for_each_layer(
    architecture: str,
    metadata: dict[str, Value],
    layers: int,
    n_embd: int,
    context: int,
) -> None:
    named = {f"{architecture}.{key}": value for key, value in metadata.items()}
    found = read_caches(architecture, named, layers, n_embd)
    assert len(found) == layers
    for layer in found:
        assert layer.widest <= MAX_ELEMENTS
        for element in KV_TYPES.values():
            assert 0 <= layer.checkpoint(context, element) <= layer.size(context, element) < 1 << 70
