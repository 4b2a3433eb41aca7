"""The file by which a model reads pictures or sound: recognised by the beginning of its header."""

from pathlib import Path
from typing import Final

from leader.model.gguf_reader import GgufError, Reader

PROJECTOR: Final = "clip"
"""What the engine calls such a file's architecture."""

_ARCHITECTURE: Final = "general.architecture"
_MOST_PAIRS: Final = 4096
_MAX_KEY: Final = 65_535
_MAGIC: Final = b"GGUF"


def is_projector(path: Path) -> bool:
    """Whether the file is one. Raises GgufError for what is no GGUF file, or cannot be read. Blocks."""
    try:
        with path.open("rb", buffering=0) as file:
            return _architecture(path, Reader(path, file)) == PROJECTOR
    except OSError as error:
        raise GgufError(
            f"{path}: {error.strerror or error}", "give the path of a .gguf file that this user may read"
        ) from error


def refuse_no_projector(path: Path) -> None:
    """Raise GgufError for a file that turns no pictures into what a model reads. Blocks."""
    if not is_projector(path):
        raise GgufError(
            f"{path}: is no projector, by which a model reads pictures",
            "it is published beside its model, mostly as mmproj-....gguf",
        )


def _architecture(path: Path, reader: Reader) -> object:
    if reader.take(len(_MAGIC)) != _MAGIC:
        raise GgufError(f"{path}: is no GGUF file (it does not start with 'GGUF')")
    reader.u32()  # the version, which the engine judges
    reader.u64()
    for _ in range(min(reader.u64(), _MOST_PAIRS)):
        key = reader.key(_MAX_KEY)
        value = reader.value(key)
        if key == _ARCHITECTURE:
            return value
    return None
