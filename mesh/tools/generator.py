"""Small random GGUF models with a synthetic vocabulary: what the demo serves and the tests split.

A generated model is a real llama-architecture transformer (RoPE, grouped-query attention, SwiGLU, RMSNorm)
with random weights, so that every layer matters to the answer. Two properties are built in rather than left
to chance:

* **The answer never ends by itself and is always whole, printable ASCII.** Channel 0 of the residual stream
  is reserved: every token's embedding sets it to the same positive value and no layer writes to it, so it is
  positive at the head, whatever the context. The output rows of all tokens that must not be emitted (end of
  text, control, byte and single-character tokens) are zero except for a large negative weight on that
  channel. Their logits lie far below all others', in greedy decoding and when sampling.
* **The same settings give the same bytes**, on every machine: weights come from the raw stream of a seeded
  bit generator (stable over numpy's versions) through a table of 256 normal quantiles. That is also what
  makes it fast: about 100 MB in 0.3 s.

``python -m mesh.tools.generator out.gguf --size 100M`` writes one from the command line.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist

import gguf
import numpy as np
import numpy.typing as npt

from mesh.wire.errors import MeshError

HEAD_DIMENSION = 64
BLOCK = 32  # elements of a Q8_0 block; every row length is a multiple of it
FORBIDDEN = -512.0  # the weight, on the reserved channel, of tokens that must not win
EMBEDDING_SCALE = 1.0
MIXING = 1.5  # standard deviation of all layers' contributions together, in units of the embedding's
ATTENTION_SHARPNESS = (
    2.0  # standard deviation of attention scores: > 1 makes the answer depend on the whole context
)
LOGIT_SCALE = 6.0  # standard deviation of ordinary tokens' logits

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>\\n' + message['content'] + '<|end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)
SPECIAL = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
SYLLABLES = tuple(consonant + vowel for consonant in "bdfghklmnprstvwz" for vowel in "aeiou")
MIN_VOCABULARY = 512

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What to generate. ``kind`` is the matrices' type: F16, F32 or Q8_0 (norms are always F32)."""

    layers: int = 8
    n_embd: int = 256
    heads: int = 4
    kv_heads: int = 2
    ffn: int = 768
    vocabulary: int = 1024
    context: int = 4096
    kind: str = "F16"
    seed: int = 0
    tied: bool = False  # no output.weight: the head is the embedding again (special tokens may then win)
    name: str = "synthetic"

    def __post_init__(self) -> None:
        if self.kind not in ("F16", "F32", "Q8_0"):
            raise MeshError(f"cannot generate {self.kind} weights", "choose F16, F32 or Q8_0")
        if min(self.layers, self.heads, self.kv_heads, self.ffn, self.context) < 1:
            raise MeshError("layers, heads, feed-forward width and context must be at least 1")
        if self.n_embd % BLOCK or self.ffn % BLOCK or self.n_embd % self.heads or self.heads % self.kv_heads:
            raise MeshError(
                f"n_embd {self.n_embd} and ffn {self.ffn} must be multiples of {BLOCK}, "
                f"n_embd of the {self.heads} heads, heads of the {self.kv_heads} KV heads"
            )
        if (self.n_embd // self.heads) % 2 or (self.kv_width % BLOCK):
            raise MeshError("a head's width must be even, and all KV heads together a multiple of 32 wide")
        if self.vocabulary < MIN_VOCABULARY:
            raise MeshError(f"a vocabulary of {self.vocabulary} is too small", f"at least {MIN_VOCABULARY}")

    @property
    def kv_width(self) -> int:
        """Elements of K (and of V) per token and layer."""
        return self.n_embd // self.heads * self.kv_heads

    @property
    def matrix_bytes(self) -> int:
        """Bytes of all matrices: the file's size except for a header and the norms."""
        layer = self.n_embd * (2 * self.n_embd + 2 * self.kv_width + 3 * self.ffn)
        ends = (1 if self.tied else 2) * self.vocabulary * self.n_embd
        return _row_bytes(self.layers * layer + ends, self.kind)


def spec_of_size(size: int, base: ModelSpec | None = None) -> ModelSpec:
    """``base`` with widths chosen so that the file is about ``size`` bytes (within 10% from 4 MB upwards)."""
    base = base or ModelSpec()
    elements = size * BLOCK / _row_bytes(BLOCK, base.kind)
    ends = (1 if base.tied else 2) * base.vocabulary
    # 12 n^2 elements a layer (attention 2.5-3 n^2, feed-forward about 9 n^2) and the two ends: solve for n.
    a, b = 12.0 * base.layers, float(ends)
    n = (-b + (b * b + 4 * a * elements) ** 0.5) / (2 * a)
    n_embd = max(HEAD_DIMENSION, int(n / HEAD_DIMENSION) * HEAD_DIMENSION)
    heads = n_embd // HEAD_DIMENSION
    kv_heads = next(k for k in range(max(1, heads // 2), 0, -1) if heads % k == 0)
    spec = replace(base, n_embd=n_embd, heads=heads, kv_heads=kv_heads, ffn=BLOCK)
    rest = elements - spec.matrix_bytes * BLOCK / _row_bytes(BLOCK, base.kind)
    return replace(spec, ffn=max(BLOCK, BLOCK + int(rest / (3 * n_embd * base.layers)) // BLOCK * BLOCK))


def generate(path: Path, spec: ModelSpec | None = None, *, parts: int = 1) -> list[Path]:
    """Write a model to ``path`` and return the files written.

    With ``parts`` > 1 they are named as gguf-split names them (``NAME-00001-of-00003.gguf``) and carry the
    ``split.*`` keys; the first is what one serves. Files appear under their names only when complete.
    """
    spec = spec or ModelSpec()
    tensors = list(_tensors(spec))
    if not 1 <= parts <= len(tensors):
        raise MeshError(f"cannot split {len(tensors)} tensors into {parts} files")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".generate-") as directory:
        writer = gguf.GGUFWriter(
            Path(directory) / path.name,
            "llama",
            split_max_tensors=-(-len(tensors) // parts) if parts > 1 else 0,
        )
        _metadata(writer, spec)
        for tensor in tensors:
            raw = getattr(gguf.GGMLQuantizationType, tensor.kind)
            writer.add_tensor_info(
                tensor.name, tensor.shape, np.dtype(np.float32), _row_bytes(tensor.elements, tensor.kind), raw
            )
        writer.write_header_to_file()
        written = [Path(file.name) for file in writer.fout or ()]
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for number, tensor in enumerate(tensors):
            writer.write_tensor_data(_data(spec, tensor, number))
        writer.close()
        for file in written:
            os.replace(file, path.parent / file.name)
    return [path.parent / file.name for file in written]


@dataclass(frozen=True, slots=True)
class _Tensor:
    name: str
    shape: tuple[int, ...]  # rows first, as numpy has it
    kind: str
    scale: float  # standard deviation of the weights; 0 means all ones (a norm)
    reserved_row: bool = False  # row 0 is zero: it would write to the reserved channel

    @property
    def elements(self) -> int:
        return int(np.prod(self.shape))


def _tensors(spec: ModelSpec) -> Iterator[_Tensor]:
    n, ffn, kv, kind = spec.n_embd, spec.ffn, spec.kv_width, spec.kind
    one = 1 / n**0.5  # keeps the variance of a normalised input
    sharp = one * ATTENTION_SHARPNESS**0.5  # on Q and on K
    # 2 contributions a layer; SiLU(gate) * up of unit normals has a standard deviation of about 0.6.
    each = MIXING * EMBEDDING_SCALE / (2 * spec.layers) ** 0.5
    yield _Tensor("token_embd.weight", (spec.vocabulary, n), kind, EMBEDDING_SCALE)
    for layer in range(spec.layers):
        block = f"blk.{layer}."
        yield _Tensor(block + "attn_norm.weight", (n,), "F32", 0)
        yield _Tensor(block + "attn_q.weight", (n, n), kind, sharp)
        yield _Tensor(block + "attn_k.weight", (kv, n), kind, sharp)
        yield _Tensor(block + "attn_v.weight", (kv, n), kind, one)
        yield _Tensor(block + "attn_output.weight", (n, n), kind, one * each, reserved_row=True)
        yield _Tensor(block + "ffn_norm.weight", (n,), "F32", 0)
        yield _Tensor(block + "ffn_gate.weight", (ffn, n), kind, one)
        yield _Tensor(block + "ffn_up.weight", (ffn, n), kind, one)
        yield _Tensor(block + "ffn_down.weight", (n, ffn), kind, each / 0.6 / ffn**0.5, reserved_row=True)
    yield _Tensor("output_norm.weight", (n,), "F32", 0)
    if not spec.tied:
        yield _Tensor("output.weight", (spec.vocabulary, n), kind, one * LOGIT_SCALE)


def _data(spec: ModelSpec, tensor: _Tensor, number: int) -> npt.NDArray[np.generic]:
    """The tensor's bytes as stored; ``number`` gives each tensor its own random stream."""
    if tensor.scale == 0:
        return np.ones(tensor.elements, np.float32)
    raw = np.random.SFC64(np.random.SeedSequence([spec.seed, number])).random_raw(-(-tensor.elements // 8))
    picks: Bytes = np.asarray(raw).astype("<u8", copy=False).view(np.uint8)[: tensor.elements]
    quantiles = _QUANTILES * tensor.scale
    if tensor.kind == "Q8_0":
        return _q8_0(spec, tensor, picks, quantiles)
    values = np.take(quantiles.astype(np.float16 if tensor.kind == "F16" else np.float32), picks)
    _reserve(spec, tensor, values.reshape(tensor.shape))
    return values


def _q8_0(spec: ModelSpec, tensor: _Tensor, picks: Bytes, quantiles: npt.NDArray[np.float64]) -> Bytes:
    """Blocks of 32 weights: an F16 scale, then 32 signed bytes.

    All blocks share one scale, except those with the reserved channel.
    """
    step = np.float16(np.abs(quantiles).max() / 127)
    blocks = np.empty(picks.size // BLOCK, np.dtype([("d", "<f2"), ("q", "i1", (BLOCK,))]))
    blocks["d"] = step
    blocks["q"] = np.take(np.rint(quantiles / float(step)).astype(np.int8), picks).reshape(-1, BLOCK)
    rows = blocks.reshape(tensor.shape[0], -1)
    first = rows[:, 0]["q"].astype(np.float32) * np.float32(step)
    if tensor.reserved_row:
        rows[0]["q"] = 0
    elif tensor.name in ("token_embd.weight", "output.weight"):
        _reserve(spec, tensor, first)
        if tensor.name == "output.weight":
            rows["q"][~_may_win(spec)] = 0
        scale = (np.abs(first).max(axis=1) / 127).astype(np.float16)
        rows["d"][:, 0] = scale
        rows["q"][:, 0] = np.rint(first / scale.astype(np.float32)[:, None]).clip(-127, 127).astype(np.int8)
    return blocks.view(np.uint8)


def _reserve(spec: ModelSpec, tensor: _Tensor, rows: npt.NDArray[np.generic]) -> None:
    """Set the reserved channel as the module's docstring describes."""
    if tensor.reserved_row:
        rows[0] = 0
    elif tensor.name == "token_embd.weight":
        rows[:, 0] = EMBEDDING_SCALE
    elif tensor.name == "output.weight":
        silent = ~_may_win(spec)
        rows[silent] = 0
        rows[:, 0] = np.where(silent, FORBIDDEN, 0)


def _may_win(spec: ModelSpec) -> npt.NDArray[np.bool_]:
    """Which tokens may be emitted: the generated words alone."""
    return np.array([piece.startswith("▁") and len(piece) > 1 for piece, _ in _vocabulary(spec)])


def add_vocabulary(writer: gguf.GGUFWriter, spec: ModelSpec) -> None:
    """Write the spec's pieces, with what marks a text's begin and end."""
    vocabulary = _vocabulary(spec)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([piece for piece, _ in vocabulary])
    # Longer pieces merge first; bytes are the last resort.
    writer.add_token_scores(
        [float(len(piece)) if kind == gguf.TokenType.NORMAL else -1e4 for piece, kind in vocabulary]
    )
    writer.add_token_types([int(kind) for _, kind in vocabulary])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)


def _vocabulary(spec: ModelSpec) -> list[tuple[str, gguf.TokenType]]:
    """Control tokens, bytes, printable ASCII (▁ is a space), syllables, generated words with their space.

    The tokenizer merges pairs, and syllables are its intermediate steps: so it reads a generated text as the
    tokens that the model emitted.
    """
    kinds = gguf.TokenType
    pieces = [("<unk>", kinds.UNKNOWN), ("<s>", kinds.CONTROL), ("</s>", kinds.CONTROL)]
    pieces += [(f"<0x{byte:02X}>", kinds.BYTE) for byte in range(256)]
    pieces += [(text, kinds.CONTROL) for text in SPECIAL]
    pieces += [("▁" if code == 0x20 else chr(code), kinds.NORMAL) for code in range(0x20, 0x7F)]
    pieces += [(syllable, kinds.NORMAL) for syllable in SYLLABLES]
    pieces += [(word, kinds.NORMAL) for word in _words(spec.vocabulary - len(pieces))]
    return pieces


def _words(count: int) -> Iterator[str]:
    """``count`` different words of one to four syllables, in a fixed order that looks arbitrary."""
    made = 0
    length = 1
    while made < count:
        total = len(SYLLABLES) ** length
        for index in range(min(total, count - made)):
            scattered = index * 7919 % total  # 7919 is prime and no factor of 80: a permutation
            word = ""
            for _ in range(length):
                scattered, digit = divmod(scattered, len(SYLLABLES))
                word += SYLLABLES[digit]
            yield "▁" + word
            made += 1
        length += 1


def _metadata(writer: gguf.GGUFWriter, spec: ModelSpec) -> None:
    writer.add_name(spec.name)
    writer.add_file_type(
        {"F32": gguf.LlamaFileType.ALL_F32, "F16": gguf.LlamaFileType.MOSTLY_F16}.get(
            spec.kind, gguf.LlamaFileType.MOSTLY_Q8_0
        )
    )
    writer.add_context_length(spec.context)
    writer.add_embedding_length(spec.n_embd)
    writer.add_block_count(spec.layers)
    writer.add_feed_forward_length(spec.ffn)
    writer.add_head_count(spec.heads)
    writer.add_head_count_kv(spec.kv_heads)
    writer.add_rope_dimension_count(spec.n_embd // spec.heads)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(spec.vocabulary)
    add_vocabulary(writer, spec)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _row_bytes(elements: int, kind: str) -> int:
    block, size = gguf.GGML_QUANT_SIZES[getattr(gguf.GGMLQuantizationType, kind)]
    return elements // int(block) * int(size)


_QUANTILES = np.array([NormalDist().inv_cdf((index + 0.5) / 256) for index in range(256)])


def _parse_size(text: str) -> int:
    units = {"K": 10**3, "M": 10**6, "G": 10**9}
    number, unit = (text[:-1], units[text[-1].upper()]) if text[-1:].upper() in units else (text, 1)
    return int(float(number) * unit)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: ``python -m mesh.tools.generator``."""
    parser = argparse.ArgumentParser(
        prog="python -m mesh.tools.generator", description=__doc__.splitlines()[0]
    )
    parser.add_argument("path", type=Path)
    parser.add_argument("--size", type=_parse_size, help="of the file, as 60M; sets the widths")
    for name in ("layers", "n_embd", "heads", "kv_heads", "ffn", "vocabulary", "context", "seed"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int)
    parser.add_argument("--kind", choices=("F16", "F32", "Q8_0"))
    parser.add_argument("--tied", action="store_true", help="no output matrix of its own")
    parser.add_argument("--parts", type=int, default=1, help="split into so many files")
    options = parser.parse_args(arguments)
    fields = {
        name: value
        for name, value in vars(options).items()
        if name not in ("path", "size", "parts") and value is not None
    }
    try:
        spec = ModelSpec(**fields)
        if options.size:
            spec = spec_of_size(options.size, spec)
        files = generate(options.path, spec, parts=options.parts)
    except MeshError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for file in files:
        print(f"{file}  {file.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
