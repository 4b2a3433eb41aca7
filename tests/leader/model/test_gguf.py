"""Reading models' headers: the right numbers from good files, a plain error from all others."""

import os
import struct
import tracemalloc
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leader.model.gguf import GgufError, ShortHeader, estimate, read, read_beginnings
from mesh.tools.generator import ModelSpec, generate
from tests.leader.model.gguf_bytes import Typed, write_gguf
from tests.leader.shapes import full

SPEC = ModelSpec(layers=3, n_embd=128, heads=4, kv_heads=2, ffn=160, vocabulary=512, context=777, name="tiny")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("model") / "model.gguf", SPEC)[0]


def pair(key: str, kind: int, value: bytes) -> bytes:
    return struct.pack("<Q", len(key)) + key.encode() + struct.pack("<I", kind) + value


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def header(*pairs: bytes, tensors: int = 0, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, len(pairs)) + b"".join(pairs)


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_a_model_has_the_measures_it_was_made_with(model: Path) -> None:
    model_info = read(model)
    norms = 2 * SPEC.n_embd * 4
    layer = (2 * 128 * 128 + 2 * 128 * SPEC.kv_width + 3 * 128 * 160) * 2 + norms
    assert model_info.name == model.name, "the name of its file, as in the deployment"
    assert (model_info.architecture, model_info.n_layers, model_info.n_embd, model_info.n_vocab) == (
        "llama",
        3,
        128,
        512,
    )
    assert (model_info.context_train, model_info.tied) == (777, False)
    assert model_info.graph.handed == 128
    assert model_info.layer_bytes == (layer,) * 3
    assert model_info.caches == (full(SPEC.kv_width, SPEC.kv_width),) * 3
    assert model_info.embedding_bytes == 512 * 128 * 2
    assert model_info.head_bytes == 512 * 128 * 2 + 128 * 4
    assert model_info.total_bytes == model.stat().st_size
    assert model_info.files == (model,)


def test_a_tied_head_is_a_second_copy_of_the_embedding(tmp_path: Path) -> None:
    spec = ModelSpec(layers=1, n_embd=64, heads=1, kv_heads=1, ffn=64, vocabulary=512, tied=True)
    model_info = read(generate(tmp_path / "tied.gguf", spec)[0])
    assert model_info.tied
    assert model_info.head_bytes == model_info.embedding_bytes + 64 * 4


@pytest.mark.parametrize("chosen", [0, 2])
def test_a_split_model_is_the_same_model_whichever_part_is_named(
    model: Path, tmp_path: Path, chosen: int
) -> None:
    parts = generate(tmp_path / "split.gguf", SPEC, parts=3)
    model_info, whole = read(parts[chosen]), read(model)
    assert model_info.files == tuple(parts)
    assert model_info.layer_bytes == whole.layer_bytes
    assert model_info.head_bytes == whole.head_bytes
    assert model_info.total_bytes == sum(part.stat().st_size for part in parts)


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    parts = generate(tmp_path / "split.gguf", SPEC, parts=3)
    parts[1].unlink()
    with pytest.raises(GgufError, match=r"1 of the model's 3 parts.*split-00002-of-00003\.gguf"):
        read(parts[0])


def test_parts_under_wrong_names_are_refused(tmp_path: Path) -> None:
    parts = generate(tmp_path / "split.gguf", SPEC, parts=3)
    os.replace(parts[2], parts[1])
    parts[2].write_bytes(parts[1].read_bytes())
    with pytest.raises(GgufError, match="is not part 2 of 3"):
        read(parts[0])
    lonely = parts[0].rename(tmp_path / "renamed.gguf")
    with pytest.raises(GgufError, match="not named like one"):
        read(lonely)


def test_layers_may_differ_in_their_kv_heads(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "deci")
    writer.add_block_count(3)
    writer.add_embedding_length(32)
    writer.add_head_count([4, 4, 4])
    writer.add_head_count_kv([2, 0, 1])
    writer.add_key_length(16)
    writer.add_value_length(8)
    for name in ("token_embd.weight", "blk.0.a.weight", "blk.1.b.weight", "blk.2.c.weight"):
        writer.add_tensor(name, np.ones((4, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    model_info = read(tmp_path / "a.gguf")
    assert [cache.size(1, (2, 1)) // 256 for cache in model_info.caches] == [96, 0, 48]
    assert model_info.layer_bytes == (512, 512, 512)


def odd(path: Path, names: list[str], architecture: str = "any", **numbers: int) -> Path:
    """A file of an architecture with these tensors beside the embedding."""
    metadata: dict[bytes, Typed] = {
        b"general.architecture": ("str", architecture.encode()),
        f"{architecture}.embedding_length".encode(): ("u32", 8),
        **{f"{architecture}.{name}".encode(): ("u32", number) for name, number in numbers.items()},
    }
    return write_gguf(
        path, metadata, [(b"token_embd.weight", (8, 4)), *((n.encode(), (8, 8)) for n in names)]
    )


def test_layers_without_tensors_weigh_nothing(tmp_path: Path) -> None:
    model_info = read(odd(tmp_path / "pruned.gguf", ["blk.0.a.weight", "blk.2.a.weight"], block_count=4))
    assert model_info.layer_bytes == (256, 0, 256, 0)


@pytest.mark.parametrize(
    ("architecture", "stripped", "weighs"),
    [("qwen35", True, 0), ("qwen35", False, 0), ("any", True, 0), ("any", False, 256)],
)
def test_draft_layers_count_and_weigh_what_is_loaded_of_them(
    tmp_path: Path, architecture: str, stripped: bool, weighs: int
) -> None:
    names = ["blk.0.a.weight", "blk.1.a.weight", "blk.2.nextn.eh_proj.weight"][: 2 if stripped else 3]
    path = odd(tmp_path / "drafts.gguf", names, architecture, block_count=3, nextn_predict_layers=1)
    assert read(path).layer_bytes == (256, 256, weighs)


def test_a_head_alone_is_the_embedding_as_well(tmp_path: Path) -> None:
    path = odd(tmp_path / "codeshell.gguf", ["output.weight", "blk.0.a.weight"], block_count=1)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"token_embd.weight", b"position.embdding"))
    model_info = read(path)
    assert (model_info.n_vocab, model_info.head_bytes, model_info.tied) == (8, 256, False)
    assert model_info.embedding_bytes == 128 + 256


def test_an_encoder_and_a_decoder_share_their_layers(tmp_path: Path) -> None:
    names = ["enc.blk.0.a.weight", "dec.blk.0.a.weight", "enc.blk.1.a.weight"]
    assert read(odd(tmp_path / "t5.gguf", names, block_count=2)).layer_bytes == (512, 256)


def test_a_truncated_file_is_refused_with_the_missing_bytes(model: Path, tmp_path: Path) -> None:
    content = model.read_bytes()
    with pytest.raises(GgufError, match=f"1000 bytes are missing of {len(content)}"):
        read(write(tmp_path / "cut.gguf", content[:-1000]))


@pytest.mark.parametrize("length", [3, 4, 10, 23, 24, 100, 2000, 9000])
def test_a_file_cut_within_its_header_is_refused(model: Path, tmp_path: Path, length: int) -> None:
    with pytest.raises(GgufError, match=r"cut short|is no GGUF"):
        read(write(tmp_path / "cut.gguf", model.read_bytes()[:length]))


def test_what_is_no_gguf_file_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(GgufError, match="is no GGUF file"):
        read(write(tmp_path / "a.txt", b"Once upon a time"))
    with pytest.raises(GgufError, match="No such file"):
        read(tmp_path / "absent.gguf")
    with pytest.raises(GgufError, match="directory"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (header(version=1), "version 1 is not supported"),
        (header(version=4), "version 4 is not supported"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 0), "tensors at byte 8 are more than"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 40), "metadata entries at byte 16 are more than"),
        (header(struct.pack("<Q", 1 << 50)), "a metadata key at byte 24 is 1125899906842624 bytes long"),
        (header(pair("k", 99, b"")), "k at byte 33 has the unknown type 99"),
        (header(pair("k", 8, struct.pack("<Q", 1 << 62))), "cut short or damaged"),
        (header(pair("k", 9, struct.pack("<IQ", 8, 1 << 61))), "cannot have"),
        (header(pair("k", 9, struct.pack("<IQ", 4, 1 << 61))), "cut short or damaged"),
        (header(pair("k", 9, struct.pack("<IQ", 9, 1))), "array of the unknown type 9"),
        (header(pair("k", 4, b"1234"), pair("k", 4, b"1234")), "repeated metadata key"),
        (header(pair("general.alignment", 4, struct.pack("<I", 3))), "not a power of two"),
        (header(pair("general.architecture", 8, text("\x00"))), "does not say its architecture"),
        (header(), "does not say its architecture"),
        (header(pair("general.architecture", 8, text("clip"))), "without layers"),
        (
            header(
                pair("general.architecture", 8, text("x")),
                pair("x.block_count", 4, struct.pack("<I", 1 << 31)),
            ),
            "2147483648 layers",
        ),
        (
            header(text("t") + struct.pack("<I", 5), tensors=1)[:16]
            + bytes(8)
            + text("t")
            + struct.pack("<I", 5),
            "5 dim",
        ),
        (
            b"GGUF"
            + struct.pack("<IQQ", 3, 1, 0)
            + text("t")
            + struct.pack("<IQQIQ", 2, 1 << 40, 1 << 40, 0, 0),
            "impossible shape",
        ),
        (
            b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + text("t") + struct.pack("<IQIQ", 1, 32, 77, 0),
            "data type 77",
        ),
        (
            b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + text("t") + struct.pack("<IQIQ", 1, 33, 8, 0),
            "block of 32",
        ),
        (
            b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + text("t") + struct.pack("<IQIQ", 1, 32, 0, 64),
            "expected 0",
        ),
    ],
)
def test_hostile_headers_are_refused_with_what_is_wrong(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(GgufError, match=reason):
        read(write(tmp_path / "bad.gguf", content))


def test_a_header_that_claims_gigabytes_costs_next_to_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "sparse.gguf"
    with path.open("wb") as file:
        file.write(header(pair("k", 9, struct.pack("<IQ", 8, 200_000))))
        file.truncate(64 << 30)
    tracemalloc.start()
    try:
        with pytest.raises(GgufError):
            read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


def test_a_header_full_of_long_strings_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "long.gguf"
    with path.open("wb") as file:
        file.write(header(*[pair(f"k{number}", 8, struct.pack("<Q", 1 << 40)) for number in range(2)]))
        file.truncate(4 << 40)
    with pytest.raises(GgufError, match="the header goes on beyond"):
        read(path)


@pytest.mark.parametrize(
    ("key", "kind", "value"),
    [
        ("k" * 60_000, 4, bytes(4)),
        ("k", 9, struct.pack("<IQ", 2, 1000) + bytes(2000)),
        ("k", 8, struct.pack("<Q", 4000) + bytes(4000)),
    ],
    ids=["keys", "arrays", "strings"],
)
def test_metadata_that_would_fill_the_memory_is_given_up(
    tmp_path: Path, key: str, kind: int, value: bytes
) -> None:
    pairs = [pair(f"{number:04}{key}", kind, value) for number in range(400)]
    with pytest.raises(GgufError, match="too much metadata"):
        read(write(tmp_path / "full.gguf", header(*pairs)))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_to_a_header_does_more_than_raise_the_one_error(
    model: Path, tmp_path: Path, data: st.DataObject
) -> None:
    whole = model.read_bytes()
    content = bytearray(whole[: data.draw(st.sampled_from([12_000, 60_000, len(whole)]))])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(len(content), 14_000) - 8))
        damage = data.draw(
            st.one_of(
                st.binary(min_size=1, max_size=8),
                st.integers(0, (1 << 64) - 1).map(lambda n: struct.pack("<Q", n)),
            )
        )
        content[at : at + len(damage)] = damage
    path = write(tmp_path / "damaged.gguf", bytes(content))
    with suppress(GgufError):
        assert read(path).n_layers >= 1


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300))
def test_arbitrary_bytes_after_the_magic_are_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(GgufError):
        read(write(tmp_path / "noise.gguf", b"GGUF\x03\x00\x00\x00" + content))


def beginning(path: Path, folder: Path, length: int) -> Path:
    """The first bytes of a file, as a download of them alone leaves it."""
    folder.mkdir(exist_ok=True)
    return write(folder / path.name, path.read_bytes()[:length])


def header_bytes(path: Path) -> int:
    """Where the file's data begins."""
    return int(gguf.GGUFReader(path).data_offset)


def test_the_beginning_of_a_file_tells_all_once_the_header_is_there(model: Path, tmp_path: Path) -> None:
    size, length = model.stat().st_size, header_bytes(model)
    cut = beginning(model, tmp_path / "cut", length)
    whole = replace(read(model), files=(cut,))
    assert estimate(cut, size) == whole
    assert read_beginnings(cut, [size]) == whole
    for short in (0, 4, 30, length // 2, length - 64):
        with pytest.raises(ShortHeader) as caught:
            estimate(beginning(model, tmp_path / "cut", short), size)
        assert caught.value.code == "short_header"


def test_a_header_that_goes_on_beyond_the_whole_file_is_damaged(model: Path, tmp_path: Path) -> None:
    cut = beginning(model, tmp_path / "cut", header_bytes(model))
    with pytest.raises(GgufError, match="cut short") as caught:
        estimate(cut, model.stat().st_size - 1000)
    assert not isinstance(caught.value, ShortHeader)


def test_the_beginnings_of_all_parts_tell_the_split_model(tmp_path: Path) -> None:
    parts = generate(tmp_path / "split.gguf", SPEC, parts=3)
    cut = [beginning(part, tmp_path / "cut", header_bytes(part)) for part in parts]
    sizes = [part.stat().st_size for part in parts]
    model_info = read_beginnings(cut[0], sizes)
    assert (model_info.layer_bytes, model_info.total_bytes) == (read(parts[0]).layer_bytes, sum(sizes))
    with pytest.raises(GgufError, match="one of 3 parts, and there are 2"):
        read_beginnings(cut[0], sizes[:2])


@pytest.mark.parametrize("parts", [2, 3, 5])
def test_the_first_part_of_a_split_model_gives_an_estimate(tmp_path: Path, parts: int) -> None:
    files = generate(tmp_path / "split.gguf", SPEC, parts=parts)
    size = sum(file.stat().st_size for file in files)
    whole = read(files[0])
    first = beginning(files[0], tmp_path / "cut", header_bytes(files[0]))
    guessed = estimate(first, size)
    assert (guessed.caches, guessed.n_embd, guessed.total_bytes) == (whole.caches, whole.n_embd, size)
    assert sum(guessed.layer_bytes) >= sum(whole.layer_bytes) - 1000
    told = sum(guessed.layer_bytes) + guessed.head_bytes + guessed.embedding_bytes
    assert whole.total_bytes <= told + 20_000 <= 1.3 * whole.total_bytes
    with pytest.raises(GgufError, match="is not the first part"):
        estimate(files[1], size)
