"""A model's file: its header, and what members say of it when it is copied."""

import atexit
import functools
import os
import struct
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import msgpack
import trio

from leader.model.engine_settings import EngineSettings
from leader.model.gguf import GgufError, ModelInfo, estimate, read
from leader.model.model_hash import PIECE, FileHash, model_root, tree_root
from mesh.control.control_errors import OperationRefused
from mesh.copies.copy_manager import _STATE, CopyState
from mesh.copies.copy_source import NoSource, WrongData, receive_block
from mesh.copies.hash_tree import HASH_BYTES, WrongTree, checked_tree
from mesh.operations.pulling.fetch_stream import read_answer, read_progress
from mesh.operations.pulling.wanted_download import read_request
from mesh.tools.generator import ModelSpec, generate
from mesh.wire.errors import DecodeError, MeshError
from tests.fuzz.harness import Harness
from tests.fuzz.harnesses.streams import Talk
from tests.fuzz.tape import Tape, in_frame, loose

MAX_MODEL = 32768
HOLE = 1 << 18
SPEC = ModelSpec(layers=2, n_embd=64, heads=2, kv_heads=1, ffn=64, vocabulary=512, name="tiny")


class Gguf:
    """A file whose beginning is the input; a long hole behind it stands for the tensors.

    It is named as the first part of two, and the second lies beside it, for inputs that say so.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mesh-fuzz-")
        atexit.register(self._folder.cleanup)
        self._path, _ = generate(Path(self._folder.name) / "model.gguf", SPEC, parts=2)

    def __call__(self, data: bytes) -> None:
        self._path.write_bytes(data)
        with suppress(GgufError):
            self._check(estimate(self._path, len(data) + HOLE))
        os.truncate(self._path, len(data) + HOLE)
        with suppress(GgufError):
            self._check(read(self._path))

    def _check(self, shape: ModelInfo) -> None:
        assert 1 <= shape.n_layers <= 512
        assert len(shape.layer_bytes) == len(shape.caches) == shape.n_layers
        assert min(shape.layer_bytes) > 0
        assert min(shape.cache_bytes(EngineSettings(4096))) >= 0
        assert shape.largest_tensor <= shape.total_bytes + 32


def _pair(key: str, kind: int, value: bytes) -> bytes:
    return _text(key) + struct.pack("<I", kind) + value


def _text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def smallest() -> bytes:
    """The shortest header of a model, with a value of each kind."""
    numbers = struct.pack("<IQ4i", 5, 4, 1, 2, 3, 4)
    words = struct.pack("<IQ", 8, 2) + _text("a") + _text("b")
    pairs = [
        _pair("general.architecture", 8, _text("llama")),
        _pair("general.alignment", 4, struct.pack("<I", 32)),
        *(_pair(f"llama.{key}", 4, struct.pack("<I", value)) for key, value in _MEASURES.items()),
        _pair("llama.scale", 6, struct.pack("<f", 1.0)),
        _pair("tokenizer.tokens", 9, words),
        _pair("tokenizer.types", 9, numbers),
    ]
    tensors = b"".join(
        _text(name) + struct.pack("<IQQIQ", 2, 32, 4, 0, 512 * number)
        for number, name in enumerate(("token_embd.weight", "blk.0.attn_q.weight", "output.weight"))
    )
    return b"GGUF" + struct.pack("<IQQ", 3, 3, len(pairs)) + b"".join(pairs) + tensors


_MEASURES = {
    "block_count": 1,
    "embedding_length": 32,
    "feed_forward_length": 64,
    "context_length": 128,
    "attention.head_count": 2,
    "attention.head_count_kv": 1,
}


@functools.cache
def _models() -> tuple[bytes, ...]:
    """The headers of small models, whole and of several parts."""
    with tempfile.TemporaryDirectory(prefix="mesh-fuzz-") as folder:
        paths = generate(Path(folder) / "a.gguf", SPEC) + generate(Path(folder) / "b.gguf", SPEC, parts=2)
        return (smallest(), *(path.read_bytes()[:MAX_MODEL] for path in paths))


# --- copies

SIZES = [3 * PIECE, 1]
LEAVES = [bytes([number]) * HASH_BYTES for number in range(4)]
FIRST, SECOND = tuple(LEAVES[:3]), tuple(LEAVES[3:])
ROOT = model_root(
    [FileHash(SIZES[0], FIRST, tree_root(FIRST)), FileHash(SIZES[1], SECOND, tree_root(SECOND))]
)
STATE = _STATE.dump(CopyState(False, 1, 2, "fetching", 3.0, 4, ""))


def copied(data: bytes) -> None:
    """What a source of a copy answers, what is asked of one, and how far another is with its copy."""
    said = loose(data)
    if isinstance(said, bytes) or (isinstance(said, dict) and "gone" in said):
        with suppress(NoSource, WrongData, DecodeError):
            assert 0 < len(trio.run(receive_block, cast(Any, Talk(Tape(in_frame(data)))), 1000)) <= 1000
    with suppress(DecodeError):
        assert 0.0 <= abs(_STATE.load(said).rate) < float("inf")
    if not isinstance(said, dict) or not isinstance(said.get("sizes"), list):
        return
    with suppress(WrongTree):
        given = said.get("leaves")
        leaves = given if isinstance(given, bytes) else b"".join(LEAVES)
        tree = checked_tree(said["sizes"], leaves, ROOT, sum(SIZES))
        assert tree.root == ROOT
        with suppress(TypeError, KeyError, IndexError):
            piece = tree.piece(said["piece"])
            assert 0 < piece.length <= PIECE
            assert piece.offset + piece.length <= SIZES[piece.file]


def _copied() -> list[bytes]:
    good = {"ok": True, "sizes": SIZES, "piece": 3}
    more = [{**good, "piece": number} for number in (-1, 0, 4, 1.5, None)]
    leaves = {**good, "leaves": b"".join(LEAVES)}
    return [msgpack.packb(each) for each in (good, leaves, *more, {"gone": "it went"}, b"block", STATE)]


# --- downloads for another


def fetched(data: bytes) -> None:
    """What an owner asks a member to download, and what that one answers."""
    said = loose(data)
    with suppress(MeshError):
        wanted = read_request(said)
        assert read_request(wanted.message()) == wanted
        for file in wanted.files:
            place = os.path.normpath(f"/cache/{file.path}")
            assert place.startswith("/cache/")
            assert place.endswith(".gguf")
    event = read_progress(said, "bert")
    assert event["text"].isprintable()
    assert 0.0 <= event.get("progress", 0.0) <= 1.0
    with suppress(OperationRefused, DecodeError):
        assert all(held is None or held.size > 0 for held in read_answer(said, "bert"))


def _fetched() -> list[bytes]:
    files = [["a.gguf", 7, "ab" * 32], ["b/c.gguf", 9, ""]]
    request = {"repo": "some/one", "commit": "01" * 20, "files": files, "held": 1}
    more = [{**request, "files": [[path, 7, ""]]} for path in ("../a.gguf", "/a.gguf", "a//b.gguf", "a.bin")]
    progress = {"text": "a", "progress": 0.5, "done": 1, "total": 2, "rate": 1.0, "eta_seconds": 1.0}
    answers = [
        {"held": ["a", 7, bytes(32)], "projector": ["b", 7, bytes(32)]},
        {"error": ["busy", "it does", "wait"]},
    ]
    return [msgpack.packb(each) for each in (request, *more, progress, *answers)]


HARNESSES = (
    Harness("fetched", "mesh.operations.pulling.wanted_download, fetch_stream", lambda: fetched, _fetched),
    Harness("gguf", "leader.model.gguf, gguf_reader", Gguf, _models, MAX_MODEL),
    Harness("copied", "mesh.copies.hash_tree, mesh.copies.copy_manager", lambda: copied, _copied),
)
