"""The names of a model's copied files. They derive from the name in the deployment, which an owner signed,
so that no holder of the file can choose a name.

The parts of a split model carry their number in their names, as llama.cpp's `gguf-split` gives them; the
engine finds the others by the first one's name.
"""

import re
from typing import Final

from mesh.wire.errors import MeshError
from mesh.wire.profile import MAX_NAME

PART: Final = re.compile(r"^(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf$", re.DOTALL)
_SUFFIX: Final = re.compile(r"(-\d{5}-of-\d{5})?(\.gguf)?$")


def told_name(name: str) -> str:
    """A first file's name within the bound that facts have: a long one loses the end of its stem."""
    suffix = _SUFFIX.search(name)
    tail = "" if suffix is None else suffix[0]
    stem = name[: len(name) - len(tail)].encode(errors="replace")[: MAX_NAME - len(tail)]
    return stem.decode(errors="ignore") + tail


def part_name(name: str, number: int, count: int) -> str | None:
    """The name of part ``number`` (from 1) of the model whose first file is ``name``.

    None when ``name`` is not that of a part among ``count``.
    """
    match = PART.match(name)
    if match is None or int(match["count"]) != count:
        return None
    return f"{match['stem']}-{number:05d}-of-{count:05d}.gguf"


def file_names(name: str, count: int) -> list[str]:
    """The names of a model's files, fit to be files in a directory.

    Raises MeshError when ``name`` is not that of a model of ``count`` files.
    """
    safe = re.sub(r"[\x00-\x1f/\\]", "_", name)
    if safe in ("", ".", ".."):
        safe = "model.gguf"
    if count == 1:
        return [safe]
    parts = [part_name(safe, number, count) for number in range(1, count + 1)]
    if None in parts:
        raise MeshError(f"{name} is not named like the first of {count} files")
    return [part for part in parts if part is not None]
