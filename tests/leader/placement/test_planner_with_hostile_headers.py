"""Whatever a file's header says, it is refused in words or has a plan that adds up."""

import math
from contextlib import suppress
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leader.model import layer_caches
from leader.model.engine_settings import KV_TYPES, EngineSettings
from leader.model.gguf import read
from leader.placement.cost import Device
from leader.placement.infeasible import Infeasible
from leader.placement.planner import place
from mesh.wire.errors import MeshError
from tests.leader.model.gguf_bytes import FORMS, Typed, write_gguf

ARCHITECTURES = sorted(
    {"llama", "grok", "nanbeige", "graniteswitch", "falcon-h1", "minimax-m3", "hrm_text", "gemma4-assistant"}
    | {*layer_caches._WINDOWS, *layer_caches._BY_INTERVAL, *layer_caches._SHARED_FROM}
    | layer_caches._NO_CACHE | layer_caches._LATENT | layer_caches._ALL_RECURRENT | layer_caches._BY_HEADS
    | layer_caches._NEMOTRON | layer_caches._INDEXED
)  # fmt: skip
KEYS = (
    "attention.head_count", "attention.head_count_kv", "attention.key_length", "attention.value_length",
    "attention.key_length_swa", "attention.value_length_swa", "attention.key_length_mla",
    "attention.value_length_mla", "attention.kv_lora_rank", "attention.q_lora_rank",
    "attention.sliding_window", "attention.sliding_window_pattern", "attention.shared_kv_layers",
    "attention.recurrent_layers", "attention.compress_ratios", "attention.causal",
    "attention.indexer.head_count", "attention.indexer.key_length", "attention.indexer.types",
    "attention.indexer.kpool", "attention.indexer.top_k", "block_count", "context_length",
    "embedding_length", "embedding_length_per_layer_input", "expert_feed_forward_length",
    "expert_shared_feed_forward_length", "expert_shared_count", "expert_used_count",
    "feed_forward_length", "full_attention_interval", "hyper_connection.count", "kda.head_dim",
    "leading_dense_block_count", "nextn_predict_layers", "num_loops", "ple.conv_kernel", "ple.layers",
    "ple.ngram_size", "pooling_type", "shortconv.l_cache", "ssm.conv_kernel", "ssm.group_count",
    "ssm.inner_size", "ssm.state_size", "token_shift_count", "wkv.head_size",
)  # fmt: skip
_WHOLE = {
    kind: st.integers(-(1 << bits - 1), (1 << bits - 1) - 1)
    if kind[0] == "i"
    else st.integers(0, (1 << bits) - 1)
    for kind in FORMS
    if kind[0] in "iu"
    for bits in [int(kind[1:])]
}
_NUMBERS = {**_WHOLE, "f32": st.floats(width=32), "f64": st.floats(), "bool": st.booleans()}


@st.composite
def values(draw: st.DrawFn) -> Typed:
    """A number of any kind, a list of them, or a string."""
    kind = draw(st.sampled_from([*FORMS, "str"]))
    if kind == "str":
        return kind, draw(st.binary(max_size=8))
    one = st.integers(0, 64) | _NUMBERS[kind] if kind[0] in "iu" else _NUMBERS[kind]
    return kind, draw(one | st.lists(one, max_size=12))


@st.composite
def headers(draw: st.DrawFn) -> tuple[dict[bytes, Typed], list[tuple[bytes, tuple[int, ...]]]]:
    """Metadata and tensors of a file that could be a model, but for what its keys say."""
    name, layers = draw(st.sampled_from(ARCHITECTURES)), draw(st.integers(1, 6))
    told = draw(st.dictionaries(st.sampled_from(KEYS), values(), max_size=16))
    usual: dict[str, Typed] = {"block_count": ("u32", layers), "embedding_length": ("u32", 64)}
    metadata: dict[bytes, Typed] = {b"general.architecture": ("str", name.encode())}
    metadata |= {f"{name}.{key}".encode(): typed for key, typed in {**usual, **told}.items()}
    widths = draw(st.lists(st.integers(0, 64), min_size=layers, max_size=layers))
    tensors = [(f"blk.{layer}.ffn_up.weight".encode(), (32, width)) for layer, width in enumerate(widths)]
    return metadata, [(b"token_embd.weight", (32, draw(st.integers(1, 64)))), *tensors]


AMOUNTS = st.sampled_from([0, 1, 1 << 20, 1 << 30, 1 << 40, (1 << 63) - 1])
COUNTS = st.sampled_from([1, 2, 4096, 1 << 31, 1 << 62, (1 << 63) - 1])
SETTINGS = st.builds(EngineSettings, COUNTS, COUNTS | st.just(1), st.sampled_from([*KV_TYPES]), st.booleans())


@st.composite
def pools(draw: st.DrawFn) -> list[Device]:
    """A leader, and workers that offer what a record may say."""
    caps = st.none() | st.integers(0, 4)
    workers = [
        Device(bytes([number]), "worker", draw(AMOUNTS), 1e-3, rtt=1e-3, most_layers=draw(caps))
        for number in range(draw(st.integers(0, 5)))
    ]
    return [Device(b"leader", "leader", draw(AMOUNTS), 1e-3, local=True), *workers]


def test_a_hostile_header_is_refused_or_has_a_plan_that_adds_up(tmp_path: Path) -> None:
    path, read_ones, placed = tmp_path / "model.gguf", 0, 0

    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(header=headers(), asked=SETTINGS, devices=pools())
    def examine(
        header: tuple[dict[bytes, Typed], list[tuple[bytes, tuple[int, ...]]]],
        asked: EngineSettings,
        devices: list[Device],
    ) -> None:
        nonlocal read_ones, placed
        with suppress(MeshError):
            model_info = read(write_gguf(path, *header))
            read_ones += 1
            assert min(model_info.cache_bytes(asked)) >= 0
            try:
                plan = place(model_info, devices, asked)
            except Infeasible:
                return
            placed += 1
            assert sum(stage.layers for stage in plan.stages) == model_info.n_layers
            assert sum(stage.head for stage in plan.stages) == 1
            assert all(0 < stage.bytes <= stage.device.memory_offered for stage in plan.stages)
            assert math.isfinite(plan.step_seconds)
            assert plan.step_seconds >= 0

    examine()
    assert min(read_ones, placed) >= 10, "nearly all are refused: that shows nothing"
