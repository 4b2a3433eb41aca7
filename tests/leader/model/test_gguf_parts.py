"""Files of a model: split keys that no longer fit, strings in any encoding, names that the engine cuts."""

from pathlib import Path

import pytest

from leader.model.gguf_parts import MAX_TOLD_KEY, read_part, read_parts
from leader.model.gguf_reader import GgufError
from mesh.tools.generator import ModelSpec, generate
from tests.leader.model.gguf_bytes import Typed, write_gguf

SPEC = ModelSpec(layers=2, n_embd=64, heads=1, kv_heads=1, ffn=64, vocabulary=512)
TENSORS = [(b"token_embd.weight", (4, 8)), (b"blk.0.a.weight", (4, 4))]


@pytest.mark.parametrize("kind", ["u8", "u16", "u32", "u64", "i32", "i64"])
@pytest.mark.parametrize("count", [0, 1])
def test_a_merged_file_is_one_whole_model(tmp_path: Path, kind: str, count: int) -> None:
    metadata: dict[bytes, Typed] = {
        b"split.no": (kind, 0),
        b"split.count": (kind, count),
        b"split.tensors.count": (kind, 99),
    }
    part = read_part(write_gguf(tmp_path / "any-00001-of-00009.gguf", metadata, TENSORS))
    assert part.count == 1
    assert read_parts(part) == [part]


def test_only_the_number_of_a_further_part_must_be_right(tmp_path: Path) -> None:
    for place in range(2):
        write_gguf(
            tmp_path / f"m-{place + 1:05d}-of-00002.gguf",
            {b"split.no": ("u16", place)} if place else {b"split.no": ("u16", 0), b"split.count": ("u16", 2)},
            TENSORS[place : place + 1],
        )
    parts = read_parts(read_part(tmp_path / "m-00001-of-00002.gguf"))
    assert [tensor.name for part in parts for tensor in part.tensors] == [
        "token_embd.weight",
        "blk.0.a.weight",
    ]


def test_more_parts_than_any_model_has_are_refused(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", {b"split.count": ("u32", 1001)}, TENSORS)
    with pytest.raises(GgufError, match="1001 parts are more than the 1000"):
        read_parts(read_part(path))


def test_tensors_that_the_parts_do_not_hold_are_counted(tmp_path: Path) -> None:
    files = generate(tmp_path / "split.gguf", SPEC, parts=2)
    content = files[0].read_bytes()
    at = content.index(b"split.tensors.count") + len(b"split.tensors.count") + 4
    files[0].write_bytes(content[:at] + b"\x07\0\0\0" + content[at + 4 :])
    with pytest.raises(GgufError, match="the model has 7"):
        read_parts(read_part(files[0]))


@pytest.mark.parametrize(
    ("content", "read"),
    [
        ("größe".encode(), "größe"),
        ("größe".encode("latin-1"), r"gr\xf6\xdfe"),
        ("模型".encode("gbk"), r"ģ\xd0\xcd"),
        (b"a\0b", "a"),
        (b"a\x1b[2Jb", r"a\x1b[2Jb"),
        (b"", ""),
    ],
    ids=["UTF-8", "Latin-1", "GBK", "NUL", "a terminal's", "empty"],
)
def test_a_string_may_have_any_encoding(tmp_path: Path, content: bytes, read: str) -> None:
    part = read_part(write_gguf(tmp_path / "m.gguf", {b"general.name": ("str", content)}, TENSORS))
    assert part.metadata["general.name"] == read
    part = read_part(write_gguf(tmp_path / "m.gguf", {b"k" + content: ("u8", 1)}, TENSORS))
    assert part.metadata == {"k" + read: 1}


def test_the_first_of_keys_that_the_engine_takes_for_one_counts(tmp_path: Path) -> None:
    metadata: dict[bytes, Typed] = {
        b"a.n": ("u8", 1),
        b"a.n\0": ("u8", 2),
        b"\xff": ("u8", 3),
        b"\xfe": ("u8", 4),
    }
    part = read_part(write_gguf(tmp_path / "m.gguf", metadata, TENSORS))
    assert part.metadata == {"a.n": 1, r"\xff": 3, r"\xfe": 4}


def test_a_repeated_key_is_told_in_few_words(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", {b"k" * 9000: ("u8", 1), b"l" * 9000: ("u8", 1)}, [])
    path.write_bytes(path.read_bytes().replace(b"l" * 9000, b"k" * 9000))
    with pytest.raises(GgufError, match="repeated metadata key") as caught:
        read_part(path)
    assert len(caught.value.message) < len(str(path)) + 2 * MAX_TOLD_KEY


def test_an_alignment_beyond_any_disk_block_is_refused(tmp_path: Path) -> None:
    metadata: dict[bytes, Typed] = {b"general.alignment": ("u32", 1 << 21)}
    with pytest.raises(GgufError, match="alignment 2097152 is more than the 1048576 allowed"):
        read_part(write_gguf(tmp_path / "m.gguf", metadata, []))


@pytest.mark.parametrize("alignment", [1, 8, 32, 64, 4096])
def test_data_is_where_the_alignment_puts_it(tmp_path: Path, alignment: int) -> None:
    metadata: dict[bytes, Typed] = {b"general.alignment": ("u32", alignment)}
    tensors = [(b"a", (3,)), (b"b", ()), (b"c", (0, 5)), (b"d", (1, 2, 3, 4))]
    part = read_part(write_gguf(tmp_path / "m.gguf", metadata, tensors, alignment))
    assert [(tensor.name, tensor.size) for tensor in part.tensors] == [
        ("a", 12),
        ("b", 4),
        ("c", 0),
        ("d", 96),
    ]
