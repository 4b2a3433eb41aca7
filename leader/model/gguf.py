"""The shape of a model in GGUF files, read from their headers alone."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from leader.model.draft_tensors import draft_layers, loads_of_draft
from leader.model.gguf_parts import (
    DEFAULT_ALIGNMENT,
    MAGIC,
    MAX_PARTS,
    Part,
    Tensor,
    pad,
    read_part,
    read_parts,
)
from leader.model.gguf_reader import GgufError, ShortHeader
from leader.model.graph_widths import read_widths
from leader.model.header_uses import head_width, is_causal, told_pooling
from leader.model.header_values import MAX_NUMBER, number
from leader.model.layer_caches import layer_count, read_caches
from leader.model.model_info import ModelInfo
from leader.model.model_names import told_name

__all__ = ["MAGIC", "GgufError", "ModelInfo", "ShortHeader", "estimate", "read", "read_beginnings"]

PROJECTOR: Final = "clip"
"""What the engine calls the architecture of a file by which a model reads pictures."""

_PROJECTORS_HINT: Final = "it is a projector: serve its model, with --mmproj and this file"

MAX_LAYERS: Final = 512  # LLAMA_MAX_LAYERS
MAX_STATED: Final = 1 << 32

_BLOCK = re.compile(r"^(?:enc\.|dec\.)?blk\.(\d{1,9})\.")


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
    parts = read_parts(read_part(path))
    return _model_info(parts, _weights(parts))


def read_beginnings(path: Path, sizes: Sequence[int]) -> ModelInfo:
    """The same of files that are cut off behind their headers; ``sizes`` has their true ones in order.

    ``path`` is the first. Raises ShortHeader where one is cut off within its header.
    """
    first = read_part(path, sizes[0])
    if first.count != len(sizes):
        raise GgufError(f"{path}: says it is one of {first.count} parts, and there are {len(sizes)}")
    parts = read_parts(first, sizes)
    return _model_info(parts, _weights(parts))


def estimate(path: Path, size: int) -> ModelInfo:
    """A model's shape by the beginning of its first file alone; ``size`` is that of all its files.

    Of a single file it is exact. The first part of a split model has all metadata, but only its own tensors,
    or none. Then all bytes that are not known to be the embedding's or the head's are counted as layers,
    evenly; a head that is not there is taken to be as large as the embedding, and the largest tensor to be at
    least half a layer. So the model rather seems larger than it is, by about its head. Raises ShortHeader,
    GgufError.
    """
    first = read_part(path, size)
    if first.count > MAX_PARTS or (first.count > 1 and first.place > 0):
        raise GgufError(f"{path}: is not the first part of a model")
    weights = _weights([first])
    if first.count == 1:
        return _model_info([first], weights)
    n_layers = len(weights.layers)
    layer = (size - weights.embedding - weights.head) // n_layers
    if layer <= 0:
        raise GgufError(f"{path}: a model of {size} bytes is smaller than its embedding and head")
    weights.layers = [layer] * n_layers
    weights.largest = max(weights.largest, layer // 2)
    return _model_info([first], weights, size)


def _architecture(first: Part) -> str:
    architecture = first.metadata.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise GgufError(f"{first.path}: does not say its architecture")
    return architecture


def _weights(parts: list[Part]) -> _Weights:
    """The bytes of the parts' tensors, by what they are for."""
    first = parts[0]
    architecture = _architecture(first)
    n_layers = layer_count(architecture, first.metadata)
    if not 1 <= n_layers <= MAX_LAYERS:
        raise GgufError(
            f"{first.path}: a {architecture} file of {n_layers} layers is no model that can be served"
            if n_layers
            else f"{first.path}: a {architecture} file without layers is no language model",
            _PROJECTORS_HINT if architecture == PROJECTOR else "",
        )
    found = _Weights([0] * n_layers)
    computed = n_layers - draft_layers(first.metadata, architecture, n_layers)
    output: Tensor | None = None
    for tensor in (tensor for part in parts for tensor in part.tensors):
        block = _BLOCK.match(tensor.name)
        size = pad(tensor.size, DEFAULT_ALIGNMENT)
        if block is not None:
            if int(block[1]) >= n_layers:
                raise GgufError(f"{first.path}: tensor {tensor.name!r} is beyond the {n_layers} layers")
            if int(block[1]) < computed or loads_of_draft(architecture, tensor.name):
                found.layers[int(block[1])] += size
                found.largest = max(found.largest, size)
        elif tensor.name.startswith("output"):
            found.head += size
            if tensor.name == "output.weight":
                found.tied, output = False, tensor
        else:
            found.embedding += size
            if tensor.name == "token_embd.weight":
                found.token_embedding, found.n_vocab = size, _n_vocab(tensor)
    if output is not None and not found.token_embedding:  # the engine embeds by the head
        found.token_embedding, found.n_vocab = pad(output.size, DEFAULT_ALIGNMENT), _n_vocab(output)
        found.embedding += found.token_embedding
    return found


def _n_vocab(matrix: Tensor) -> int:
    return min(matrix.shape[1], MAX_NUMBER) if len(matrix.shape) > 1 else 0


def _model_info(parts: list[Part], weights: _Weights, estimated: int | None = None) -> ModelInfo:
    """The model of these parts; of a model that is ``estimated``, so many bytes, not all parts are here."""
    first = parts[0]
    metadata, architecture, n_layers = first.metadata, _architecture(first), len(weights.layers)
    if estimated is None:
        _refuse_incomplete(parts, weights)
    n_embd = number(metadata, f"{architecture}.embedding_length", 0)
    if not n_embd:
        raise GgufError(f"{first.path}: does not say how wide its embedding is")
    return ModelInfo(
        name=told_name(first.path.name),
        architecture=architecture,
        files=tuple(part.path for part in parts),
        total_bytes=sum(part.bytes for part in parts) if estimated is None else estimated,
        layer_bytes=tuple(weights.layers),
        caches=read_caches(architecture, metadata, n_layers, n_embd),
        largest_tensor=weights.largest,
        head_bytes=weights.head + (weights.token_embedding if weights.tied else 0),
        embedding_bytes=weights.embedding,
        n_embd=n_embd,
        graph=read_widths(architecture, metadata, n_layers, n_embd),
        n_vocab=weights.n_vocab,
        context_train=number(metadata, f"{architecture}.context_length", 0, MAX_STATED),
        tied=weights.tied,
        pooling=told_pooling(metadata, architecture),
        causal=is_causal(metadata, architecture),
        key_width=head_width(metadata, architecture, "key", n_embd),
        value_width=head_width(metadata, architecture, "value", n_embd),
    )


def _refuse_incomplete(parts: list[Part], weights: _Weights) -> None:
    """Raise GgufError unless the parts hold all that a language model has."""
    first = parts[0]
    if not any(part.tensors for part in parts):
        raise GgufError(f"{first.path}: holds a vocabulary only, no model")
    if not weights.token_embedding:
        raise GgufError(f"{first.path}: has no token embedding: it is no language model")
