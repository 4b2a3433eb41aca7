"""The file by which a model reads pictures or sound: recognised by its header."""

from pathlib import Path

from leader.model.gguf import PROJECTOR
from leader.model.gguf_parts import read_part
from leader.model.gguf_reader import GgufError


def refuse_no_projector(path: Path) -> None:
    """Raise GgufError for a file that turns no pictures into what a model reads, or is cut short. Blocks."""
    if read_part(path).metadata.get("general.architecture") != PROJECTOR:
        raise GgufError(
            f"{path}: is no projector, by which a model reads pictures",
            "it is published beside its model, mostly as mmproj-....gguf",
        )
