"""What a header alone tells of the widths of a model's graph, and of its layers. Pure."""

from leader.model.header_values import MAX_NUMBER, Metadata, layer_numbers, number


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
