"""Whatever the pinned engine loads, ours reads."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from leader.model.gguf import read
from tests.leader.model.gguf_bytes import Entry, GgufFile, Typed, read_gguf
from tests.oracle.build import Oracle
from tests.oracle.handmade import bert, t5
from tests.oracle.judge import judge
from tests.oracle.odd_files import odd_files

EXAMPLES = 60
LEAST_ACCEPTED = EXAMPLES // 6


@pytest.fixture(scope="module")
def sound(oracle: Oracle) -> list[GgufFile]:
    """The tiny files of all architectures."""
    return [read_gguf(path) for path in sorted(oracle.models.glob("*.gguf"))]


def test_every_architecture_that_the_engine_writes_is_read(oracle: Oracle) -> None:
    verdicts = {path.name: judge(oracle, path) for path in sorted(oracle.models.glob("*.gguf"))}
    assert len(verdicts) >= 90
    assert sum(verdict.accepted for verdict in verdicts.values()) >= 90
    assert {name: verdict for name, verdict in verdicts.items() if verdict.refusal} == {}


@pytest.mark.parametrize("file", [t5(), t5(2, 1), t5(3, 0), bert()], ids=["t5", "short", "encoder", "bert"])
def test_encoders_and_decoders_are_read(oracle: Oracle, tmp_path: Path, file: GgufFile) -> None:
    verdict = judge(oracle, file.write(tmp_path / "model.gguf"))
    assert (verdict.accepted, verdict.refusal) == (True, "")


def named(sound: list[GgufFile], architecture: str) -> tuple[GgufFile, bytes]:
    """The file of an architecture, to be changed, and the prefix of its keys."""
    file = next(one for one in sound if one.metadata[b"general.architecture"][1] == architecture.encode())
    return replace(
        file, metadata=dict(file.metadata), tensors=list(file.tensors)
    ), architecture.encode() + b"."


def merged(sound: list[GgufFile]) -> GgufFile:
    file, _ = named(sound, "llama")
    keys: dict[bytes, Typed] = {b"split.no": ("u16", 0), b"split.count": ("u16", 0)}
    return replace(file, metadata=file.metadata | keys)


def widths_by_layer(sound: list[GgufFile]) -> GgufFile:
    file, own = named(sound, "qwen3moe")
    width = file.metadata[own + b"expert_feed_forward_length"][1]
    file.metadata[own + b"expert_feed_forward_length"] = ("u32", [width, width])
    return file


def without_a_layer(sound: list[GgufFile]) -> GgufFile:
    file, own = named(sound, "deci")
    for key in (b"attention.head_count", b"attention.head_count_kv", b"feed_forward_length"):
        value = file.metadata[own + key][1]
        file.metadata[own + key] = ("u32", [value, 0])
    file.tensors = [tensor for tensor in file.tensors if not tensor.name.startswith(b"blk.1.")]
    return file


def without_its_draft(sound: list[GgufFile]) -> GgufFile:
    file, own = named(sound, "glm4moe")
    file.metadata |= {own + b"block_count": ("u32", 3), own + b"nextn_predict_layers": ("u32", 1)}
    return file


def without_embedding(sound: list[GgufFile]) -> GgufFile:
    file, _ = named(sound, "codeshell")
    file.tensors = [tensor for tensor in file.tensors if tensor.name != b"token_embd.weight"]
    return file


FORMS = (merged, widths_by_layer, without_a_layer, without_its_draft, without_embedding)


@pytest.mark.parametrize("form", FORMS)
def test_a_form_that_people_met_is_loaded_and_read(
    oracle: Oracle, sound: list[GgufFile], tmp_path: Path, form: Callable[[list[GgufFile]], GgufFile]
) -> None:
    verdict = judge(oracle, form(sound).write(tmp_path / "model.gguf"))
    assert (verdict.accepted, verdict.refusal) == (True, ""), verdict.said


@pytest.mark.parametrize("counted", [True, False], ids=["counted", "numbered alone"])
def test_parts_that_the_engine_puts_together_are_read(
    oracle: Oracle, sound: list[GgufFile], tmp_path: Path, counted: bool
) -> None:
    file, _ = named(sound, "llama")
    half = len(file.tensors) // 2
    count: dict[bytes, Typed] = {b"split.count": ("u16", 2)}
    total: dict[bytes, Typed] = {b"split.tensors.count": ("i32", len(file.tensors))}
    first: dict[bytes, Typed] = {**file.metadata, **count, **total, b"split.no": ("u16", 0)}
    second: dict[bytes, Typed] = {b"split.no": ("u16", 1), **(count if counted else {})}
    path = GgufFile(first, file.tensors[:half]).write(tmp_path / "m-00001-of-00002.gguf")
    GgufFile(second, file.tensors[half:]).write(tmp_path / "m-00002-of-00002.gguf")
    verdict = judge(oracle, path)
    assert (verdict.accepted, verdict.refusal) == (True, ""), verdict.said


DRAFTS = 8


def with_drafts(sound: GgufFile) -> GgufFile:
    """The file with copies of its last layer that draft."""
    name = sound.metadata[b"general.architecture"][1]
    assert isinstance(name, bytes)
    layers, width = (sound.metadata[name + key][1] for key in (b".block_count", b".embedding_length"))
    assert isinstance(layers, int)
    assert isinstance(width, int)
    file = replace(sound, metadata=dict(sound.metadata), tensors=list(sound.tensors))
    for key, (kind, value) in sound.metadata.items():
        if isinstance(value, list) and len(value) == layers and key.startswith(name):
            file.metadata[key] = (kind, [*value, *(value[-1:] * DRAFTS)])
    file.metadata[name + b".block_count"] = ("u32", layers + DRAFTS)
    file.metadata[name + b".nextn_predict_layers"] = ("u32", DRAFTS)
    last = f"blk.{layers - 1}.".encode()
    copied = [one for one in sound.tensors if one.name.startswith(last) and not one.name.endswith(b"scale")]
    for place in range(layers, layers + DRAFTS):
        own = f"blk.{place}.".encode()
        file.tensors += [replace(one, name=own + one.name.removeprefix(last)) for one in copied]
        shapes = {b"eh_proj": (2 * width, width), b"enorm": (width,), b"hnorm": (width,)}
        file.tensors += [Entry(own + b"nextn." + one + b".weight", shape) for one, shape in shapes.items()]
    return file


def test_draft_layers_weigh_what_the_engine_loads_of_them(
    oracle: Oracle, sound: list[GgufFile], tmp_path: Path
) -> None:
    asked: dict[str, tuple[int, int]] = {}
    for plain in sound:
        path = tmp_path / "model.gguf"
        without = judge(oracle, plain.write(path)).mebibytes
        weight = sum(read(path).layer_bytes)
        verdict = judge(oracle, with_drafts(plain).write(path))
        if verdict.accepted:
            more = sum(read(path).layer_bytes) - weight
            asked[str(plain.metadata[b"general.architecture"][1])] = (verdict.mebibytes - without, more >> 20)
    assert len(asked) >= 12
    assert {name: pair for name, pair in asked.items() if not pair[0] - 1 <= pair[1] <= pair[0] + 1} == {}


def test_an_odd_file_that_the_engine_loads_is_read(
    oracle: Oracle, sound: list[GgufFile], tmp_path: Path
) -> None:
    accepted = 0

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(file=odd_files(sound))
    def examine(file: GgufFile) -> None:
        nonlocal accepted
        verdict = judge(oracle, file.write(tmp_path / "odd.gguf"))
        accepted += verdict.accepted
        assert not verdict.wrong, verdict

    examine()
    assert accepted >= LEAST_ACCEPTED, "the engine refuses nearly all: the grammar asks it nothing"
