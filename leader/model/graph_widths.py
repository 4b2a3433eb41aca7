"""How much an engine's graph holds at once for each token that it computes. Pure.

Widths are counted in 32-bit elements. They were found by measuring the pinned engine on files of all
architectures that its own tests write, and on wider ones: a graph holds the residual and, at its widest
moment, what attention, a feed-forward, the experts of a token or a recurrent layer need. Where a model's keys
leave it open, the wider is taken.
"""

from dataclasses import dataclass
from typing import Final

from leader.model.header_values import Metadata
from leader.model.layer_caches import HeaderKeys

MAX_WIDTH: Final = 1 << 26
"""What is above is taken for this."""
MAX_TURNED: Final = 1024
WITHOUT_FLASH: Final = frozenset(("grok", "t5", "t5encoder"))
"""Architectures of which the engine keeps the scores of all heads, as flash attention does not know them."""
_STREAMS: Final = {"gemma3n": 4}
_HANDS_ON_THE_EMBEDDING: Final = frozenset(("talkie",))
_LATENT_KEY: Final = "attention.key_length_mla"


@dataclass(frozen=True, slots=True)
class GraphWidths:
    """Elements for each token: in a layer (``inner``), of what one device hands to the next (``handed``).

    ``by_row`` are for each token and each row of the context that a slot keeps. ``mask`` is the bytes that
    tell of one row whether a token may see it; ``pairs`` the elements for each two tokens of a prefill.
    ``turned`` is the width of the matrices that turn keys and values where these are kept in fewer bits.
    ``pooled`` is as ``mask``, of each slot, where rows are pooled before they are selected.
    """

    inner: int
    handed: int
    by_row: int = 0
    mask: int = 2
    pairs: int = 0
    turned: int = 0
    pooled: int = 0


def read_widths(architecture: str, metadata: Metadata, n_layers: int, n_embd: int) -> GraphWidths:
    """The widths of a model's graph. Never raises: what the header does not say is taken to be usual."""
    keys = HeaderKeys(architecture, metadata, n_layers)
    streams = max(1, keys.number("hyper_connection.count"), _STREAMS.get(architecture, 1))
    parts = (_attention, _feed_forward, _recurrent, _indexer)
    widest = max(part(keys, n_embd) for part in parts)
    handed = n_embd * (streams + (architecture in _HANDS_ON_THE_EMBEDDING))
    handed += keys.number("embedding_length_per_layer_input") * n_layers
    if architecture == "hrm_text":  # its layers are gone through again and again, from device to device
        handed += 4 * n_embd * n_layers
    if architecture in ("mamba", "mamba2"):  # the engine splits its layers amid
        handed += _projected(keys)
    inner = 3 * n_embd + (4 * streams * n_embd if streams > 1 else 0) + widest
    flash, heads = architecture not in WITHOUT_FLASH, max(keys.each("attention.head_count"), default=0)
    return GraphWidths(
        inner=min(inner, MAX_WIDTH),
        handed=min(handed, MAX_WIDTH),
        by_row=min(_by_row(keys) + (0 if flash else heads), MAX_WIDTH),
        mask=_mask(keys) if flash else 4,
        turned=_turned(keys, n_embd),
        pooled=4 if keys.number("attention.indexer.kpool") else 0,
        pairs=min(heads, MAX_WIDTH) if architecture == "minimax-01" else 0,
    )


def _attention(keys: HeaderKeys, n_embd: int) -> int:
    heads = keys.each("attention.head_count")
    most, kv_heads = max(heads, default=0), max(keys.each("attention.head_count_kv", heads), default=0)
    width = n_embd // most if most else 0
    key = max(keys.number(f"attention.key_length{kind}", width) for kind in ("", "_swa"))
    value = max(keys.number(f"attention.value_length{kind}", width) for kind in ("", "_swa"))
    ranks = keys.number("attention.q_lora_rank") + keys.number("attention.kv_lora_rank")
    if latent := keys.number(_LATENT_KEY):
        return most * (latent + keys.number("attention.kv_lora_rank") + key) + 2 * key + ranks
    gate = most * key if keys.architecture.startswith(("qwen3next", "qwen35", "qwen4")) else 0
    return max(2 * most * key, most * key + kv_heads * (key + value)) + ranks + gate


def _feed_forward(keys: HeaderKeys, n_embd: int) -> int:
    """Of a dense layer, or of all experts that a token visits: what goes in, and what comes out of each."""
    dense = max(keys.each("feed_forward_length", 4 * n_embd), default=0)
    expert = max(keys.each("expert_feed_forward_length"), default=0) or dense
    visited = max(keys.each("expert_used_count"), default=0)
    shared = keys.number("expert_shared_feed_forward_length") or expert * keys.number("expert_shared_count")
    return max(3 * dense, 3 * expert * visited, visited * (n_embd + expert), 3 * shared)


def _mask(keys: HeaderKeys) -> int:
    """Bytes: 16 bits, twice where sparse attention has a mask of its own."""
    selects = keys.number("attention.indexer.head_count") and keys.architecture != "minimax-m3"
    return 4 if selects else 2


def _turned(keys: HeaderKeys, n_embd: int) -> int:
    """The largest power of two that divides a head's keys or values."""
    most = max(keys.each("attention.head_count"), default=0)
    width = n_embd // most if most else 0
    kept = ("key",) if keys.number(_LATENT_KEY) else ("key", "value")
    names = [f"attention.{name}_length{kind}" for name in kept for kind in ("", "_swa")]
    widths = [keys.number(name, width) for name in names]
    return min(max(width & -width for width in widths), MAX_TURNED)


def _projected(keys: HeaderKeys) -> int:
    inner = keys.number("ssm.inner_size")
    return 2 * inner + 2 * keys.number("ssm.group_count") * keys.number("ssm.state_size")


def _recurrent(keys: HeaderKeys, n_embd: int) -> int:
    inner, groups = keys.number("ssm.inner_size"), keys.number("ssm.group_count")
    most = max(keys.each("attention.head_count"), default=0)
    shifted = 12 * n_embd if keys.number("wkv.head_size") else 0
    linear = 12 * most * keys.number("kda.head_dim")
    if not groups:
        return max(8 * inner, shifted, linear)
    return max(5 * inner + 6 * groups * keys.number("ssm.state_size"), shifted, linear)


def _indexer(keys: HeaderKeys, n_embd: int) -> int:
    """Of sparse attention: the queries by which it selects, beside the rest of attention."""
    size = keys.number("attention.indexer.head_count") * keys.number("attention.indexer.key_length")
    return 2 * size + _attention(keys, n_embd) if size else 0


def _by_row(keys: HeaderKeys) -> int:
    """Scores by which sparse attention selects: of each row, of all heads where the engine fuses none."""
    heads = keys.number("attention.indexer.head_count")
    if not heads or not keys.number("attention.indexer.key_length"):
        return 0
    if keys.architecture == "minimax-m3":
        return 2 * heads
    if keys.architecture == "qwen4exp":
        return 2 * heads // max(1, min(keys.each("attention.compress_ratios", 4), default=4) or 4) + 2
    return {"hy_v4": 4, "deepseek4": 1}.get(keys.architecture, 3)
