"""How the engine is to run a model: what a deployment may say beside the model itself."""

from dataclasses import dataclass
from typing import Final

KV_TYPES: Final = {"f16": (2, 1), "q8_0": (34, 32), "q4_0": (18, 32)}
"""Types of the context's keys and values, with the bytes that so many elements take."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """``context`` tokens for each of the ``slots``, their keys and values kept as ``kv``.

    ``embeddings``: the model gives vectors, or ranks, in place of answers.
    """

    context: int
    slots: int = 1
    kv: str = "f16"
    embeddings: bool = False
