"""GGUF files read and written byte by byte, in forms that no library writes."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, Final

from leader.model.gguf_types import TENSOR_TYPES

FORMS: Final = {
    "u8": (0, "<B"), "i8": (1, "<b"), "u16": (2, "<H"), "i16": (3, "<h"), "u32": (4, "<I"), "i32": (5, "<i"),
    "f32": (6, "<f"), "bool": (7, "<?"), "u64": (10, "<Q"), "i64": (11, "<q"), "f64": (12, "<d"),
}  # fmt: skip
"""The kinds of numbers: their code in the file, and their form."""
_KINDS: Final = {8: "str", **{code: kind for kind, (code, _) in FORMS.items()}}
_ARRAY: Final = 9

Typed = tuple[str, object]
"""A kind (of `FORMS`, or ``str``) and a value: a number, bytes, or a list of them."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A tensor of the directory; its shape is innermost first, its type a number of `TENSOR_TYPES`."""

    name: bytes
    shape: tuple[int, ...]
    type: int = 0

    @property
    def size(self) -> int:
        """Bytes of its data."""
        _, block, block_bytes = TENSOR_TYPES[self.type]
        return prod(self.shape) // block * block_bytes


@dataclass(slots=True)
class GgufFile:
    """A file's metadata and directory. Its data is all zero, and a hole on the disk."""

    metadata: dict[bytes, Typed] = field(default_factory=dict)
    tensors: list[Entry] = field(default_factory=list)
    alignment: int = 32
    version: int = 3
    told: str = ""
    """What a failing test says of it."""

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """How Hypothesis shows it: the whole would be thousands of lines."""
        printer.text(f"GgufFile({self.told})")

    def write(self, path: Path) -> Path:
        """Make ``path`` this file."""
        entries, offset = b"", 0
        for tensor in self.tensors:
            n, shape = len(tensor.shape), tensor.shape
            entries += text(tensor.name) + struct.pack(f"<I{n}QIQ", n, *shape, tensor.type, offset)
            offset += -(-tensor.size // self.alignment) * self.alignment
        pairs = b"".join(pair(key, typed) for key, typed in self.metadata.items())
        head = b"GGUF" + struct.pack("<IQQ", self.version, len(self.tensors), len(self.metadata))
        with path.open("wb") as file:
            file.write(head + pairs + entries)
            file.truncate(-(-file.tell() // self.alignment) * self.alignment + offset)
        return path


def read_gguf(path: Path) -> GgufFile:
    """The metadata and directory of a small, sound file."""
    source = _Source(path.read_bytes())
    _, version, n_tensors, n_pairs = source.take("<4sIQQ")
    file = GgufFile(version=version)
    for _ in range(n_pairs):
        key = source.text()
        (code,) = source.take("<I")
        if code == _ARRAY:
            code, length = source.take("<IQ")
            file.metadata[key] = (_KINDS[code], [source.one(_KINDS[code]) for _ in range(length)])
        else:
            file.metadata[key] = (_KINDS[code], source.one(_KINDS[code]))
    for _ in range(n_tensors):
        name, (dimensions,) = source.text(), source.take("<I")
        shape = source.take(f"<{dimensions}Q")
        kind, _ = source.take("<IQ")
        file.tensors.append(Entry(name, shape, kind))
    return file


def write_gguf(
    path: Path,
    metadata: Mapping[bytes, Typed],
    tensors: Sequence[tuple[bytes, tuple[int, ...]]],
    alignment: int = 32,
) -> Path:
    """Write a file of 32-bit floats."""
    return GgufFile(dict(metadata), [Entry(*tensor) for tensor in tensors], alignment).write(path)


def text(content: bytes) -> bytes:
    """A string as the file has it."""
    return struct.pack("<Q", len(content)) + content


def pair(key: bytes, typed: Typed) -> bytes:
    """A metadata entry."""
    kind, value = typed
    code = 8 if kind == "str" else FORMS[kind][0]
    if isinstance(value, list):
        content = b"".join(_one(kind, one) for one in value)
        return text(key) + struct.pack("<IIQ", _ARRAY, code, len(value)) + content
    return text(key) + struct.pack("<I", code) + _one(kind, value)


def _one(kind: str, value: object) -> bytes:
    if kind == "str":
        assert isinstance(value, bytes)
        return text(value)
    return struct.pack(FORMS[kind][1], value)


class _Source:
    """A cursor over bytes."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._position = 0

    def take(self, form: str) -> tuple[Any, ...]:
        """The next values, of that form."""
        found = struct.unpack_from(form, self._content, self._position)
        self._position += struct.calcsize(form)
        return found

    def text(self) -> bytes:
        """The next string."""
        (length,) = self.take("<Q")
        found: bytes = self.take(f"{length}s")[0]
        return found

    def one(self, kind: str) -> object:
        """The next value of a kind."""
        return self.text() if kind == "str" else self.take(FORMS[kind][1])[0]
