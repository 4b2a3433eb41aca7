"""The files of a model: their metadata, as far as it may matter, and their directories of tensors.

A file may be anything: cut short by a copy, or made to hurt. Nothing is allocated by a count that it states.
Strings and arrays that do not matter are skipped, those that do have limits, and everything is read through
one bounded window. Errors say what is wrong and at which byte.

Format: ggml-org/ggml docs/gguf.md, versions 2 and 3, little-endian. What the engine loads is read, but for
these bounds, which no real model comes near: `MAX_PAIRS`, `MAX_TENSORS`, `MAX_PARTS`, `MAX_KEY`,
`MAX_ALIGNMENT`, extents and elements of a tensor below 2 ** 62, and those of `gguf_reader`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from leader.model.gguf_reader import GgufError, Reader, shown
from leader.model.gguf_types import TENSOR_TYPES
from leader.model.header_values import Value, number
from leader.model.model_names import part_name

MAGIC: Final = b"GGUF"
MAX_PAIRS: Final = 65_536
MAX_TENSORS: Final = 131_072
MAX_PARTS: Final = 1000
MAX_NAME: Final = 63  # GGML_MAX_NAME less its terminator
MAX_KEY: Final = 65_535
MAX_TOLD_KEY: Final = 80  # characters of a key in an error
MAX_ALIGNMENT: Final = 1 << 20
DEFAULT_ALIGNMENT: Final = 32


@dataclass(frozen=True, slots=True)
class Tensor:
    """One entry of the directory. ``shape`` is innermost first, as the file has it; ``size`` in bytes."""

    name: str
    shape: tuple[int, ...]
    size: int


@dataclass(slots=True)
class Part:
    """One file: its metadata (only what may matter) and its directory of tensors."""

    path: Path
    bytes: int
    metadata: dict[str, Value] = field(default_factory=dict)
    tensors: list[Tensor] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Of how many parts it says that it is one. The engine's tool writes 0 into what it has merged."""
        return max(1, number(self.metadata, "split.count", 1))

    @property
    def place(self) -> int:
        """Which part it says that it is, from 0; -1 where it says none."""
        return number(self.metadata, "split.no", -1)


def read_parts(given: Part, sizes: Sequence[int | None] | None = None) -> list[Part]:
    """All files of the model of which ``given`` is one, in order; ``sizes`` as for `read_part`."""
    count = given.count
    if count == 1:
        return [given]
    if count > MAX_PARTS:
        raise GgufError(f"{given.path}: {count} parts are more than the {MAX_PARTS} allowed")
    names = [part_name(given.path.name, place, count) for place in range(1, count + 1)]
    if None in names:
        raise GgufError(
            f"{given.path}: is one of {count} parts of a model, but is not named like one",
            f"name the parts NAME-00001-of-{count:05d}.gguf and so on",
        )
    paths = [given.path.with_name(name) for name in names if name is not None]
    missing = [part.name for part in paths if not part.is_file()]
    if missing:
        raise GgufError(
            f"{given.path}: {len(missing)} of the model's {count} parts are not beside it: "
            + ", ".join(missing[:3])
            + (" ..." if len(missing) > 3 else ""),
            "put all parts into one folder",
        )
    parts = [
        given if part == given.path else read_part(part, size)
        for part, size in zip(paths, sizes or [None] * count, strict=True)
    ]
    for place, part in enumerate(parts):
        if part.place != place:
            raise GgufError(f"{part.path}: is not part {place + 1} of {count} as its name says")
    total = sum(len(part.tensors) for part in parts)
    expected = number(parts[0].metadata, "split.tensors.count", total)
    if total != expected:
        raise GgufError(f"{given.path}: the parts hold {total} tensors, the model has {expected}")
    return parts


def read_part(path: Path, size: int | None = None) -> Part:
    """One file; ``size``: its true one in bytes, where only its beginning is here.

    Raises ShortHeader where it is cut off within its header, else GgufError.
    """
    try:
        with path.open("rb", buffering=0) as file:
            return _parse(path, Reader(path, file, size))
    except OSError as error:
        raise GgufError(
            f"{path}: {error.strerror or error}", "give the path of a .gguf file that this user may read"
        ) from error


def _parse(path: Path, reader: Reader) -> Part:
    if reader.take(4) != MAGIC:
        raise GgufError(
            f"{path}: is no GGUF file (it does not start with 'GGUF')",
            "llama.cpp's convert_hf_to_gguf.py makes them",
        )
    version = reader.u32()
    if version & 0xFFFF == 0 and version:
        raise GgufError(f"{path}: is a big-endian GGUF file", "convert it to little-endian")
    if version not in (2, 3):
        raise GgufError(
            f"{path}: GGUF version {version} is not supported, only 2 and 3",
            "convert the model anew with a present llama.cpp",
        )
    n_tensors = reader.count("tensors", MAX_TENSORS)
    n_pairs = reader.count("metadata entries", MAX_PAIRS)
    part = Part(path, reader.size)
    keys: set[bytes] = set()
    for _ in range(n_pairs):
        at = reader.position
        key = reader.key(MAX_KEY)
        name = shown(key)
        if not key or key in keys:
            what = f"repeated metadata key {name[:MAX_TOLD_KEY]!r}" if key else "empty metadata key"
            raise GgufError(f"{path}: {what} at byte {at}")
        keys.add(key)
        part.metadata.setdefault(name, reader.value(name[:MAX_TOLD_KEY]))
    alignment = number(part.metadata, "general.alignment", DEFAULT_ALIGNMENT, 1 << 32)
    if alignment < 1 or alignment & (alignment - 1):
        raise GgufError(f"{path}: alignment {alignment} is not a power of two")
    if alignment > MAX_ALIGNMENT:
        raise GgufError(f"{path}: alignment {alignment} is more than the {MAX_ALIGNMENT} allowed")
    end = 0
    seen: set[str] = set()
    for _ in range(n_tensors):
        tensor, end = _tensor(path, reader, alignment, end)
        if tensor.name in seen:
            raise GgufError(f"{path}: tensor {tensor.name!r} is there twice")
        seen.add(tensor.name)
        part.tensors.append(tensor)
    _complete(part, reader.position, alignment)
    return part


def _tensor(path: Path, reader: Reader, alignment: int, expected_offset: int) -> tuple[Tensor, int]:
    """One directory entry, and the offset at which the next tensor's data must start."""
    at = reader.position
    name = shown(reader.text("a tensor's name", MAX_NAME))
    where = f"{path}: tensor {name!r} at byte {at}"
    n_dimensions = reader.u32()
    if n_dimensions > 4:
        raise GgufError(f"{where} has {n_dimensions} dimensions, at most 4 are possible")
    shape = tuple(reader.u64() for _ in range(n_dimensions))
    kind = reader.u32()
    if kind not in TENSOR_TYPES:
        raise GgufError(f"{where} has the unknown data type {kind}", "it may need a newer llama.cpp")
    type_name, block, block_bytes = TENSOR_TYPES[kind]
    elements = 1
    for extent in shape:
        elements *= extent
        if extent >= 1 << 62 or elements >= 1 << 62:
            raise GgufError(f"{where} has the impossible shape {shape}")
    row = shape[0] if shape else 1
    if row % block:
        raise GgufError(f"{where}: rows of {row} elements are no multiple of {type_name}'s block of {block}")
    size = elements // block * block_bytes
    offset = reader.u64()
    if offset != expected_offset:
        raise GgufError(f"{where} says its data is at offset {offset}, expected {expected_offset}")
    return Tensor(name, shape, size), expected_offset + pad(size, alignment)


def _complete(part: Part, directory_end: int, alignment: int) -> None:
    """Raise GgufError when the file ends before the data that its directory announces."""
    if not part.tensors:
        return
    data = sum(pad(tensor.size, alignment) for tensor in part.tensors[:-1]) + part.tensors[-1].size
    needed = pad(directory_end, alignment) + data
    if needed > part.bytes:
        raise GgufError(
            f"{part.path}: is cut short: {needed - part.bytes} bytes are missing of {needed}",
            "copy or download it again",
        )


def pad(size: int, alignment: int) -> int:
    """The least multiple of ``alignment``, a power of two, that is not below ``size``."""
    return (size + alignment - 1) & -alignment
