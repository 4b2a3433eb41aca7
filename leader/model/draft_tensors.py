"""Draft layers of models that guess their next tokens: the engine counts them among the layers. Pure."""

import re
from typing import Final

from leader.model.header_values import Metadata, number


def draft_layers(metadata: Metadata, architecture: str, n_layers: int) -> int:
    """How many of the last layers draft tokens only: the engine counts them, and computes without them."""
    drafts = number(metadata, f"{architecture}.nextn_predict_layers", 0)
    return drafts if drafts < n_layers and architecture != "gemma4-assistant" else 0  # which only drafts


def loads_of_draft(architecture: str, name: str) -> bool:
    """Whether the engine loads a draft layer's tensor of that name, of which it computes nothing."""
    loaded = _LOADED_OF_DRAFTS.get(architecture)
    return loaded is None or re.search(loaded, name) is not None


_NOTHING: Final = r"(?!)"
_LOADED_OF_DRAFTS: Final = {
    **dict.fromkeys(
        ("bailingmoe2", "bailingmoe3", "deepseek2", "deepseek4", "dots3note", "exaone-moe", "exaone4", "glm4",
         "glm4moe", "glm5-next", "mimo2", "mistral4", "qwen35", "qwen35moe", "qwen3next"),
        _NOTHING,
    ),
    **dict.fromkeys(("deepseek32", "glm-dsa"), r"\.exp_probs_b\."),
    **dict.fromkeys(("nemotron_h", "nemotron_h_moe"), r"\.ffn_latent|\.bias$"),
    "cohere2moe": r"\.nextn\.(embed_tokens|shared_head)",
    "hy_v3": r"\.ffn_|\.exp_probs_b|\.nextn\.(embed_tokens|shared_head)",
    "step35": r"\.ffn_|\.exp_probs_b|\.attn_(gate|[qk]_norm)|\.rope_|\.nextn\.(embed_tokens|shared_head)",
}  # fmt: skip
"""Tensors of draft layers that the engine loads nevertheless, by architecture; of others all are counted."""
