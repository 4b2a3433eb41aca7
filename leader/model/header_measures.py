"""What a header alone tells of the memory that a model's context takes: widths, caches and states. Pure."""

from typing import Final

from leader.model.header_values import MAX_NUMBER, Metadata, layer_numbers, number

WIDEST_WINDOW: Final = 8192  # that the engine assumes where a file names none
STATE_ELEMENT_BYTES: Final = 4
KV_ELEMENT_BYTES: Final = 2  # f16, the engine's default for K and V


def draft_layers(metadata: Metadata, architecture: str, n_layers: int) -> int:
    """How many of the last layers draft tokens only: the engine counts them, and computes without them."""
    drafts = number(metadata, f"{architecture}.nextn_predict_layers", 0)
    return drafts if drafts < n_layers and architecture != "gemma4-assistant" else 0  # which only drafts


def heads(metadata: Metadata, architecture: str, n_layers: int) -> tuple[int, ...]:
    """Attention heads of each layer."""
    return layer_numbers(metadata, f"{architecture}.attention.head_count", n_layers, 0)


def ffn_width(metadata: Metadata, architecture: str, n_layers: int, n_embd: int) -> int:
    """The widest feed-forward activation of a token.

    Dense, or of all experts that the token visits and the shared ones.
    """

    def widest(name: str, default: int) -> int:
        return number(metadata, f"{architecture}.{name}", default)

    dense = widest("feed_forward_length", 4 * n_embd)
    expert = widest("expert_feed_forward_length", dense)
    visited, shared = widest("expert_used_count", 0), widest("expert_shared_feed_forward_length", 0)
    return min(max(dense, expert * visited + shared), MAX_NUMBER)


def kv_bytes(metadata: Metadata, architecture: str, n_layers: int, n_embd: int) -> tuple[int, ...]:
    """Bytes of K and V of one token, per layer: (key_length + value_length) * KV heads of the layer * 2."""
    n_heads = heads(metadata, architecture, n_layers)
    name = f"{architecture}.attention.head_count_kv"
    kv_heads = layer_numbers(metadata, name, n_layers, -1)
    width = n_embd // max(n_heads) if max(n_heads) else 0
    key = number(metadata, f"{architecture}.attention.key_length", width)
    value = number(metadata, f"{architecture}.attention.value_length", width)
    return tuple(
        (key + value) * (given if given >= 0 else all_heads) * KV_ELEMENT_BYTES
        for given, all_heads in zip(kv_heads, n_heads, strict=True)
    )


def window(metadata: Metadata, architecture: str) -> int:
    """Tokens that a sliding window may have; of a recurrent model that names none, there is none."""
    recurrent = layer_state_bytes(metadata, architecture) > 0
    return number(metadata, f"{architecture}.attention.sliding_window", 0 if recurrent else WIDEST_WINDOW)


def layer_state_bytes(metadata: Metadata, architecture: str) -> int:
    """Bytes of a recurrent layer's state; 0 of a model that has no such layer."""
    names = ("inner_size", "state_size", "group_count", "conv_kernel")
    inner, state, groups, kernel = (number(metadata, f"{architecture}.ssm.{name}", 0) for name in names)
    elements = inner * state + max(0, kernel - 1) * (inner + 2 * groups * state)
    return elements * STATE_ELEMENT_BYTES
