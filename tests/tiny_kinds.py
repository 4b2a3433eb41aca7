"""Tiny models of other kinds than chats: an encoder of texts, one that ranks, and a projector; pictures too.

Their weights are random, from a seed: what they give means nothing, and is the same wherever it is computed.
"""

import base64
import struct
import zlib
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

from mesh.tools import generator
from mesh.tools.generator import ModelSpec

WIDTH = 64
LAYERS = 4
CONTEXT = 512
IMAGE = 56
PATCH = 14

Floats = npt.NDArray[np.float32]


class _Weights:
    def __init__(self, seed: int) -> None:
        self._random = np.random.Generator(np.random.PCG64(seed))

    def matrix(self, *shape: int) -> Floats:
        """Random numbers; the innermost extent is last, as numpy has it."""
        made: Floats = (self._random.standard_normal(shape) / shape[-1] ** 0.5).astype(np.float32)
        return made


def encoder(path: Path, *, ranks: bool = False, seed: int = 1, context: int = CONTEXT) -> Path:
    """A BERT whose vectors are the mean of its tokens'; one that ``ranks`` gives a number for each pair."""
    writer = gguf.GGUFWriter(path, "bert")
    spec = ModelSpec(n_embd=WIDTH, heads=4, kv_heads=4, ffn=128, layers=LAYERS, context=context)
    writer.add_name(path.stem)
    writer.add_context_length(context)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(spec.ffn)
    writer.add_head_count(spec.heads)
    writer.add_layer_norm_eps(1e-6)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.RANK if ranks else gguf.PoolingType.MEAN)
    writer.add_token_type_count(1)
    generator.add_vocabulary(writer, spec)
    writer.add_sep_token_id(2)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(True)
    weights = _Weights(seed)
    writer.add_tensor("token_embd.weight", weights.matrix(spec.vocabulary, WIDTH))
    writer.add_tensor("position_embd.weight", weights.matrix(context, WIDTH))
    _norm(writer, "token_embd_norm")
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            _linear(writer, weights, f"{block}.{name}", WIDTH, WIDTH)
        _norm(writer, f"{block}.attn_output_norm")
        _linear(writer, weights, f"{block}.ffn_up", WIDTH, spec.ffn)
        _linear(writer, weights, f"{block}.ffn_down", spec.ffn, WIDTH)
        _norm(writer, f"{block}.layer_output_norm")
    if ranks:
        _linear(writer, weights, "cls", WIDTH, WIDTH)
        _linear(writer, weights, "cls.output", WIDTH, 1)
    return _written(writer, path)


def projector(path: Path, width: int, *, seed: int = 2) -> Path:
    """A projector as LLaVA's, for a language model that is ``width`` wide."""
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_name(path.stem)
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_string("clip.projector_type", "mlp")
    writer.add_bool("clip.use_gelu", True)
    numbers = {"image_size": IMAGE, "patch_size": PATCH, "embedding_length": WIDTH, "block_count": 2}
    numbers |= {"feed_forward_length": 128, "projection_dim": width, "attention.head_count": 2}
    for name, number in numbers.items():
        writer.add_uint32(f"clip.vision.{name}", number)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-5)
    writer.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
    writer.add_array("clip.vision.image_std", [0.5, 0.5, 0.5])
    weights = _Weights(seed)
    writer.add_tensor("v.patch_embd.weight", weights.matrix(WIDTH, 3, PATCH, PATCH))
    writer.add_tensor("v.position_embd.weight", weights.matrix((IMAGE // PATCH) ** 2, WIDTH))
    for layer in range(2):
        block = f"v.blk.{layer}"
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            _linear(writer, weights, f"{block}.{name}", WIDTH, WIDTH)
        _norm(writer, f"{block}.ln1")
        _norm(writer, f"{block}.ln2")
        _linear(writer, weights, f"{block}.ffn_up", WIDTH, 128)
        _linear(writer, weights, f"{block}.ffn_down", 128, WIDTH)
    _linear(writer, weights, "mm.0", WIDTH, width)
    _linear(writer, weights, "mm.2", width, width)
    return _written(writer, path)


def picture(red: int, green: int, blue: int, side: int = IMAGE) -> str:
    """A picture of one colour, as a ``data:`` URI of a PNG."""
    rows = (b"\0" + bytes((red, green, blue)) * side) * side
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _linear(writer: gguf.GGUFWriter, weights: _Weights, name: str, inner: int, outer: int) -> None:
    writer.add_tensor(f"{name}.weight", weights.matrix(outer, inner))
    writer.add_tensor(f"{name}.bias", weights.matrix(outer) * np.float32(0.1))


def _norm(writer: gguf.GGUFWriter, name: str) -> None:
    writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))
    writer.add_tensor(f"{name}.bias", np.zeros(WIDTH, np.float32))


def _written(writer: gguf.GGUFWriter, path: Path) -> Path:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
