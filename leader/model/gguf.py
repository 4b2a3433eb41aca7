"""The shape of a GGUF model, read from its header alone.

The file may be anything: cut short by a copy, or made to hurt. Nothing is allocated by a count that the file
states. Strings and arrays that do not matter are skipped, those that do have limits, and everything is read
through one bounded window. Errors say what is wrong and at which byte.

Format: ggml-org/ggml docs/gguf.md, versions 2 and 3, little-endian; what the engine refuses is refused here.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from leader.model.gguf_reader import GgufError, Reader, Scalar, ShortHeader
from leader.model.gguf_types import TENSOR_TYPES
from leader.model.model_info import ModelInfo
from leader.model.model_names import part_name, told_name

__all__ = ["GgufError", "ModelInfo", "ShortHeader", "estimate", "read", "read_beginnings"]

MAGIC: Final = b"GGUF"
MAX_PAIRS: Final = 65_536
MAX_TENSORS: Final = 131_072
MAX_LAYERS: Final = 512  # LLAMA_MAX_LAYERS
MAX_PARTS: Final = 1000
MAX_NAME: Final = 63  # GGML_MAX_NAME less its terminator
MAX_KEY: Final = 65_535
MAX_WIDTH: Final = 1 << 24
DEFAULT_ALIGNMENT: Final = 32
WIDEST_WINDOW: Final = 8192  # that the engine assumes where a file names none
STATE_ELEMENT_BYTES: Final = 4
KV_ELEMENT_BYTES: Final = 2  # f16, the engine's default for K and V

_BLOCK = re.compile(r"^blk\.(\d{1,9})\.")


@dataclass(frozen=True, slots=True)
class Tensor:
    """One entry of the directory. ``shape`` is innermost first, as the file has it; ``size`` in bytes."""

    name: str
    model_info: tuple[int, ...]
    size: int


@dataclass(slots=True)
class _Part:
    """One file: its metadata (only what may matter) and its directory of tensors."""

    path: Path
    bytes: int
    metadata: dict[str, Scalar | tuple[int, ...]] = field(default_factory=dict)
    tensors: list[Tensor] = field(default_factory=list)


@dataclass(slots=True)
class _Weights:
    """Bytes of tensors: of each layer, of the largest tensor of all layers, of the head, of all others."""

    layers: list[int]
    largest: int = 0
    head: int = 0
    embedding: int = 0
    token_embedding: int = 0
    n_vocab: int = 0
    tied: bool = True


def read(path: Path) -> ModelInfo:
    """The shape of the model in ``path``; of a split model, ``path`` may be any part, and all are read.

    Raises GgufError. Blocks: reads at most some tens of MB of headers, so call it in a thread.
    """
    first = _read_part(path)
    count = _integer(first, "split.count", 1)
    parts = [first] if count == 1 else _read_parts(first, count, [None] * count)
    return _model_info(parts, _weights(parts))


def read_beginnings(path: Path, sizes: Sequence[int]) -> ModelInfo:
    """The same of files that are cut off behind their headers; ``sizes`` has their true ones in order.

    ``path`` is the first. Raises ShortHeader where one is cut off within its header.
    """
    first = _read_part(path, sizes[0])
    count = _integer(first, "split.count", 1)
    if count != len(sizes):
        raise GgufError(f"{path}: says it is one of {count} parts, and there are {len(sizes)}")
    parts = [first] if count == 1 else _read_parts(first, count, sizes)
    return _model_info(parts, _weights(parts))


def estimate(path: Path, size: int) -> ModelInfo:
    """A model's shape by the beginning of its first file alone; ``size`` is that of all its files.

    Of a single file it is exact. The first part of a split model has all metadata, but only its own tensors,
    or none. Then all bytes that are not known to be the embedding's or the head's are counted as layers,
    evenly; a head that is not there is taken to be as large as the embedding, and the largest tensor to be at
    least half a layer. So the model rather seems larger than it is, by about its head. Raises ShortHeader,
    GgufError.
    """
    first = _read_part(path, size)
    count = _integer(first, "split.count", 1)
    if not 1 <= count <= MAX_PARTS or _integer(first, "split.no", 0):
        raise GgufError(f"{path}: is not the first part of a model")
    weights = _weights([first])
    if count == 1:
        return _model_info([first], weights)
    n_layers = len(weights.layers)
    layer = (size - weights.embedding - weights.head) // n_layers
    if layer <= 0:
        raise GgufError(f"{path}: a model of {size} bytes is smaller than its embedding and head")
    weights.layers = [layer] * n_layers
    weights.largest = max(weights.largest, layer // 2)
    return _model_info([first], weights, size)


def _read_parts(given: _Part, count: int, sizes: Sequence[int | None]) -> list[_Part]:
    if not 1 < count <= MAX_PARTS:
        raise GgufError(f"{given.path}: says it is one of {count} parts")
    names = [part_name(given.path.name, number, count) for number in range(1, count + 1)]
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
        given if part == given.path else _read_part(part, size)
        for part, size in zip(paths, sizes, strict=True)
    ]
    for number, part in enumerate(parts):
        if _integer(part, "split.no", -1) != number or _integer(part, "split.count", 1) != count:
            raise GgufError(f"{part.path}: is not part {number + 1} of {count} as its name says")
    total = sum(len(part.tensors) for part in parts)
    expected = _integer(parts[0], "split.tensors.count", total)
    if total != expected:
        raise GgufError(f"{given.path}: the parts hold {total} tensors, the model has {expected}")
    return parts


def _read_part(path: Path, size: int | None = None) -> _Part:
    try:
        with path.open("rb", buffering=0) as file:
            return _parse(path, Reader(path, file, size))
    except OSError as error:
        raise GgufError(
            f"{path}: {error.strerror or error}", "give the path of a .gguf file that this user may read"
        ) from error


def _parse(path: Path, reader: Reader) -> _Part:
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
    part = _Part(path, reader.size)
    for _ in range(n_pairs):
        at = reader.position
        key = reader.key(MAX_KEY)
        if not key or key in part.metadata:
            raise GgufError(f"{path}: {'empty' if not key else 'repeated'} metadata key {key!r} at byte {at}")
        part.metadata[key] = reader.value(key)
    alignment = _integer(part, "general.alignment", DEFAULT_ALIGNMENT)
    if alignment < 1 or alignment & (alignment - 1) or alignment > 1 << 20:
        raise GgufError(f"{path}: alignment {alignment} is not a power of two")
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
    name = reader.text("a tensor's name", MAX_NAME)
    where = f"{path}: tensor {name!r} at byte {at}"
    n_dimensions = reader.u32()
    if n_dimensions > 4:
        raise GgufError(f"{where} has {n_dimensions} dimensions, at most 4 are possible")
    model_info = tuple(reader.u64() for _ in range(n_dimensions))
    kind = reader.u32()
    if kind not in TENSOR_TYPES:
        raise GgufError(f"{where} has the unknown data type {kind}", "it may need a newer llama.cpp")
    type_name, block, block_bytes = TENSOR_TYPES[kind]
    elements = 1
    for extent in model_info:
        elements *= extent
        if extent >= 1 << 62 or elements >= 1 << 62:
            raise GgufError(f"{where} has the impossible shape {model_info}")
    row = model_info[0] if model_info else 1
    if row % block:
        raise GgufError(f"{where}: rows of {row} elements are no multiple of {type_name}'s block of {block}")
    size = elements // block * block_bytes
    offset = reader.u64()
    if offset != expected_offset:
        raise GgufError(f"{where} says its data is at offset {offset}, expected {expected_offset}")
    return Tensor(name, model_info, size), expected_offset + _pad(size, alignment)


def _complete(part: _Part, directory_end: int, alignment: int) -> None:
    """Raise GgufError when the file ends before the data that its directory announces."""
    if not part.tensors:
        return
    data = sum(_pad(tensor.size, alignment) for tensor in part.tensors[:-1]) + part.tensors[-1].size
    needed = _pad(directory_end, alignment) + data
    if needed > part.bytes:
        raise GgufError(
            f"{part.path}: is cut short: {needed - part.bytes} bytes are missing of {needed}",
            "copy or download it again",
        )


def _architecture(first: _Part) -> str:
    architecture = first.metadata.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise GgufError(f"{first.path}: does not say its architecture")
    return architecture


def _weights(parts: list[_Part]) -> _Weights:
    """The bytes of the parts' tensors, by what they are for."""
    first = parts[0]
    architecture = _architecture(first)
    n_layers = _integer(first, f"{architecture}.block_count", 0)
    if not 1 <= n_layers <= MAX_LAYERS:
        raise GgufError(
            f"{first.path}: a {architecture} file of {n_layers} layers is no model that can be served"
            if n_layers
            else f"{first.path}: a {architecture} file without layers is no language model"
        )
    found = _Weights([0] * n_layers)
    for tensor in (tensor for part in parts for tensor in part.tensors):
        block = _BLOCK.match(tensor.name)
        size = _pad(tensor.size, DEFAULT_ALIGNMENT)
        if block is not None:
            if int(block[1]) >= n_layers:
                raise GgufError(f"{first.path}: tensor {tensor.name!r} is beyond the {n_layers} layers")
            found.layers[int(block[1])] += size
            found.largest = max(found.largest, size)
        elif tensor.name.startswith("output"):
            found.head += size
            found.tied = found.tied and tensor.name != "output.weight"
        else:
            found.embedding += size
            if tensor.name == "token_embd.weight":
                found.token_embedding = size
                found.n_vocab = tensor.model_info[1] if len(tensor.model_info) > 1 else 0
    return found


def _model_info(parts: list[_Part], weights: _Weights, estimated: int | None = None) -> ModelInfo:
    """The model of these parts; of a model that is ``estimated``, so many bytes, not all parts are here."""
    first = parts[0]
    architecture, n_layers = _architecture(first), len(weights.layers)
    if estimated is None:
        _refuse_incomplete(parts, weights)
    n_embd = _width(first, f"{architecture}.embedding_length")
    return ModelInfo(
        name=told_name(first.path.name),
        architecture=architecture,
        files=tuple(part.path for part in parts),
        total_bytes=sum(part.bytes for part in parts) if estimated is None else estimated,
        layer_bytes=tuple(weights.layers),
        kv_bytes=_kv_bytes(first, architecture, n_layers, n_embd),
        window=_window(first, architecture),
        state_bytes=_layer_state_bytes(first, architecture) * n_layers,
        largest_tensor=weights.largest,
        head_bytes=weights.head + (weights.token_embedding if weights.tied else 0),
        embedding_bytes=weights.embedding,
        n_embd=n_embd,
        n_ffn=_ffn_width(first, architecture, n_layers, n_embd),
        n_heads=max(_per_layer(first, f"{architecture}.attention.head_count", n_layers, 0)),
        n_vocab=weights.n_vocab,
        context_train=_integer(first, f"{architecture}.context_length", 0),
        tied=weights.tied,
    )


def _refuse_incomplete(parts: list[_Part], weights: _Weights) -> None:
    """Raise GgufError unless the parts hold all that a language model has."""
    first = parts[0]
    if not any(part.tensors for part in parts):
        raise GgufError(f"{first.path}: holds a vocabulary only, no model")
    empty = [str(number) for number, size in enumerate(weights.layers) if not size]
    if empty:
        raise GgufError(f"{first.path}: layers {', '.join(empty[:5])} have no tensors")
    if not weights.token_embedding:
        raise GgufError(f"{first.path}: has no token embedding: it is no language model")


def _ffn_width(part: _Part, architecture: str, n_layers: int, n_embd: int) -> int:
    """The widest feed-forward activation of a token.

    Dense, or of all experts that the token visits and the shared ones.
    """
    dense = max(_per_layer(part, f"{architecture}.feed_forward_length", n_layers, 4 * n_embd))
    expert = _integer(part, f"{architecture}.expert_feed_forward_length", dense)
    visited = max(_per_layer(part, f"{architecture}.expert_used_count", n_layers, 0))
    shared = _integer(part, f"{architecture}.expert_shared_feed_forward_length", 0)
    return min(max(dense, expert * visited + shared), MAX_WIDTH)


def _kv_bytes(part: _Part, architecture: str, n_layers: int, n_embd: int) -> tuple[int, ...]:
    """Bytes of K and V of one token, per layer: (key_length + value_length) * KV heads of the layer * 2."""
    heads = _per_layer(part, f"{architecture}.attention.head_count", n_layers, 0)
    kv_heads = _per_layer(part, f"{architecture}.attention.head_count_kv", n_layers, None, heads)
    width = n_embd // max(heads) if max(heads) else 0
    key = _integer(part, f"{architecture}.attention.key_length", width)
    value = _integer(part, f"{architecture}.attention.value_length", width)
    if not (0 <= key <= MAX_WIDTH and 0 <= value <= MAX_WIDTH and max(kv_heads) <= MAX_WIDTH):
        raise GgufError(
            f"{part.path}: attention heads {key} and {value} wide, {max(kv_heads)} of them, are impossible"
        )
    return tuple((key + value) * number * KV_ELEMENT_BYTES for number in kv_heads)


def _window(part: _Part, architecture: str) -> int:
    """Tokens that a sliding window may have; of a recurrent model that names none, there is none."""
    recurrent = _layer_state_bytes(part, architecture) > 0
    window = _integer(part, f"{architecture}.attention.sliding_window", 0 if recurrent else WIDEST_WINDOW)
    return min(window, MAX_WIDTH)


def _layer_state_bytes(part: _Part, architecture: str) -> int:
    """Bytes of a recurrent layer's state; 0 of a model that has no such layer."""
    names = ("inner_size", "state_size", "group_count", "conv_kernel")
    inner, state, groups, kernel = (
        min(_integer(part, f"{architecture}.ssm.{name}", 0), MAX_WIDTH) for name in names
    )
    elements = inner * state + max(0, kernel - 1) * (inner + 2 * groups * state)
    return elements * STATE_ELEMENT_BYTES


def _per_layer(
    part: _Part, key: str, n_layers: int, default: int | None, defaults: Iterable[int] = ()
) -> tuple[int, ...]:
    """A value that is one number for all layers or an array with one for each."""
    value = part.metadata.get(key)
    if value is None:
        return (default,) * n_layers if default is not None else tuple(defaults)
    if isinstance(value, tuple):
        if len(value) < n_layers or min(value) < 0:
            raise GgufError(f"{part.path}: {key} has {len(value)} entries for {n_layers} layers")
        return value[:n_layers]
    return (_integer(part, key, 0),) * n_layers


def _integer(part: _Part, key: str, default: int) -> int:
    value = part.metadata.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise GgufError(f"{part.path}: {key} is no whole number")
    return value


def _width(part: _Part, key: str) -> int:
    value = _integer(part, key, 0)
    if not 1 <= value <= MAX_WIDTH:
        raise GgufError(f"{part.path}: {key} is {value}")
    return value


def _pad(size: int, alignment: int) -> int:
    return (size + alignment - 1) & -alignment
