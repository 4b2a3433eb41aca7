"""How the engine is to run a model: what a deployment may say beside the model itself."""

from dataclasses import dataclass
from typing import Final

DEFAULT_KV: Final = "f16"
KV_TYPES: Final = {DEFAULT_KV: (2, 1), "q8_0": (34, 32), "q4_0": (18, 32)}
"""Types of the context's keys and values, with the bytes that so many elements take."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """``context`` tokens for each of the ``slots``, their keys and values kept as ``kv``.

    ``embeddings``: the model gives vectors, or ranks, in place of answers. ``projector`` is the size in bytes
    of the file by which it reads pictures, which the leader keeps; 0 without one.
    """

    context: int
    slots: int = 1
    kv: str = DEFAULT_KV
    embeddings: bool = False
    projector: int = 0
