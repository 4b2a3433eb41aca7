"""GGUF files written byte by byte, in forms that no library writes."""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

FORMS = {
    "u8": (0, "<B"), "i8": (1, "<b"), "u16": (2, "<H"), "i16": (3, "<h"), "u32": (4, "<I"), "i32": (5, "<i"),
    "f32": (6, "<f"), "bool": (7, "<?"), "u64": (10, "<Q"), "i64": (11, "<q"), "f64": (12, "<d"),
}  # fmt: skip
"""The kinds of numbers: their code in the file, and their form."""

Typed = tuple[str, object]
"""A kind (of `FORMS`, or ``str``) and a value: a number, bytes, or a list of them."""


def text(content: bytes) -> bytes:
    """A string as the file has it."""
    return struct.pack("<Q", len(content)) + content


def _one(kind: str, value: object) -> bytes:
    if kind == "str":
        assert isinstance(value, bytes)
        return text(value)
    return struct.pack(FORMS[kind][1], value)


def pair(key: bytes, typed: Typed) -> bytes:
    """A metadata entry."""
    kind, value = typed
    code = 8 if kind == "str" else FORMS[kind][0]
    if isinstance(value, list):
        content = b"".join(_one(kind, one) for one in value)
        return text(key) + struct.pack("<IIQ", 9, code, len(value)) + content
    return text(key) + struct.pack("<I", code) + _one(kind, value)


def write_gguf(
    path: Path,
    metadata: Mapping[bytes, Typed],
    tensors: Sequence[tuple[bytes, tuple[int, ...]]],
    alignment: int = 32,
) -> Path:
    """Write a file of 32-bit float tensors, all zero; shapes are innermost first."""
    entries, offset = b"", 0
    for name, shape in tensors:
        elements = 1
        for extent in shape:
            elements *= extent
        entries += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, offset)
        offset += -(-4 * elements // alignment) * alignment
    pairs = b"".join(pair(key, typed) for key, typed in metadata.items())
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata)) + pairs + entries
    path.write_bytes(head + bytes(-len(head) % alignment) + bytes(offset))
    return path
