"""The names of a model's copied files. They derive from the name in the deployment, which an owner signed,
so that no holder of the file can choose a name.

The parts of a split model carry their number in their names, as llama.cpp's `gguf-split` gives them; the
engine finds the others by the first one's name.
"""

import re
from typing import Final
from unicodedata import category

from mesh.wire.errors import MeshError
from mesh.wire.profile import MAX_NAME

PART: Final = re.compile(r"^(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf$", re.DOTALL)
MAX_FILE_NAME: Final = 255
"""Bytes of a file's name, on all common file systems."""
_SHAPELESS: Final = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
"""Unicode's categories of characters that control, format or separate lines, and of halves of characters."""
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


def refused_name(name: str) -> str | None:
    """Say why no file of a copy may be called ``name``, or return None.

    A copy's folder has files of its own, whose names begin with a dot; some file systems do not see
    characters that have no shape, so that a dot behind such a one is the first.
    """
    if not name:
        return "a model's name is empty"
    if name.startswith("."):
        return f"a model's name begins with a dot: {name!a}"
    if any(character in "/\\" or category(character) in _SHAPELESS for character in name):
        return f"a model's name has characters that no file's may have: {name!a}"
    if len(name.encode()) > MAX_FILE_NAME:
        return f"a model's name is longer than {MAX_FILE_NAME} bytes"
    return None


def file_names(name: str, count: int) -> list[str]:
    """The names of a model's files, fit to be files in a copy's folder.

    Raises MeshError when ``name`` is not that of a model of ``count`` files.
    """
    if refusal := refused_name(name):
        raise MeshError(refusal, "serve the model from a file with another name")
    if count == 1:
        return [name]
    parts = [part_name(name, number, count) for number in range(1, count + 1)]
    if None in parts:
        raise MeshError(
            f"{name} is not named like the first of {count} files",
            f"name them NAME-00001-of-{count:05d}.gguf and so on",
        )
    return [part for part in parts if part is not None]
