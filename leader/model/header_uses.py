"""What a header tells of a model's use: how it makes a vector of a text, and how its heads are made. Pure."""

from typing import Final

from leader.model.header_values import Metadata, number

POOLINGS: Final = ("none", "mean", "cls", "last", "rank")
"""How the engine makes one vector of a text's, by the number in a file's header."""


def told_pooling(metadata: Metadata, architecture: str) -> str:
    """How one vector is made of a text's; empty where the file does not say, or says nothing known."""
    told = number(metadata, f"{architecture}.pooling_type", len(POOLINGS))
    return POOLINGS[told] if told < len(POOLINGS) else ""


def is_causal(metadata: Metadata, architecture: str) -> bool:
    """Whether a token reads those before it alone, as is usual."""
    return number(metadata, f"{architecture}.attention.causal", 1) != 0


def head_width(metadata: Metadata, architecture: str, of: str, n_embd: int) -> int:
    """Numbers of a head's keys or values (``of``: key, value); 0 where the file tells of no heads."""
    heads = number(metadata, f"{architecture}.attention.head_count", 0)
    return number(metadata, f"{architecture}.attention.{of}_length", n_embd // heads if heads else 0)
