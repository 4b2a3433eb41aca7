"""The cursor over a header: values as they were written, and no allocation on a file's word."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from leader.model.gguf_reader import MAX_KEPT_ARRAY, MAX_KEPT_STRING, MAX_STRINGS, WINDOW, GgufError, Reader


@pytest.fixture
def over(tmp_path: Path) -> Iterator[Callable[[bytes], Reader]]:
    """Makes readers of files with these contents."""
    path = tmp_path / "model.gguf"
    opened = []

    def reader(content: bytes) -> Reader:
        path.write_bytes(content)
        opened.append(path.open("rb", buffering=0))
        return Reader(path, opened[-1])

    yield reader
    for file in opened:
        file.close()


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def array(kind: int, length: int, content: bytes = b"") -> bytes:
    return struct.pack("<IIQ", 9, kind, length) + content


Over = Callable[[bytes], Reader]


def test_a_read_goes_on_across_windows(over: Over) -> None:
    content = bytes(range(256)) * (2 * WINDOW // 256)
    reader = over(content)
    parts = [reader.take(1000) for _ in range(len(content) // 1000)]
    assert b"".join(parts) == content[: len(parts) * 1000]


@pytest.mark.parametrize(
    ("kind", "form", "value"),
    [
        (0, "<B", 200),
        (1, "<b", -3),
        (4, "<I", 2**32 - 1),
        (6, "<f", 0.5),
        (7, "<?", True),
        (11, "<q", -(2**40)),
    ],
)
def test_a_scalar_is_read_as_it_was_written(over: Over, kind: int, form: str, value: object) -> None:
    reader = over(struct.pack("<I", kind) + struct.pack(form, value))
    assert reader.value("key") == value
    assert reader.position == reader.size


def test_short_strings_and_arrays_of_integers_are_kept(over: Over) -> None:
    reader = over(struct.pack("<I", 8) + text("größe".encode()) + array(4, 2, struct.pack("<II", 5, 6)))
    assert (reader.value("name"), reader.value("heads")) == ("größe", (5, 6))


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<I", 8) + text(b"x" * (MAX_KEPT_STRING + 1)),
        array(4, MAX_KEPT_ARRAY + 1, bytes(4 * (MAX_KEPT_ARRAY + 1))),
        array(6, 2, bytes(8)),
        array(8, 2, text(b"a") + text(b"b")),
    ],
    ids=["a long string", "a long array", "floats", "strings"],
)
def test_other_values_are_skipped_to_their_end(over: Over, content: bytes) -> None:
    reader = over(content + b"next")
    assert reader.value("key") is None
    assert reader.take(4) == b"next"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (struct.pack("<I", 4) + b"\0", "cut short"),
        (struct.pack("<IQ", 8, 2**60), "would be 1152921504606846976 bytes long"),
        (array(4, 2**40), "would be 4398046511104 bytes long"),
        (array(8, 1000), "would have 1000 entries"),
        (array(8, MAX_STRINGS + 1), "cannot have 2097153 entries"),
        (struct.pack("<I", 99), "unknown type 99"),
        (array(9, 1), "an array of the unknown type 9"),
    ],
)
def test_what_a_file_cannot_hold_is_refused_with_the_place(over: Over, content: bytes, message: str) -> None:
    with pytest.raises(GgufError, match=message) as caught:
        over(content).value("key")
    assert "model.gguf" in caught.value.message


def test_a_count_and_a_text_beyond_their_limits_are_refused(over: Over) -> None:
    with pytest.raises(GgufError, match="9 tensors at byte 0 are more than the 8 allowed"):
        over(struct.pack("<Q", 9)).count("tensors", 8)
    with pytest.raises(GgufError, match="a name at byte 0 is 9 bytes long, 8 are allowed"):
        over(text(b"x" * 9)).text("a name", 8)


def test_what_is_kept_of_all_values_together_is_bounded(over: Over) -> None:
    one = struct.pack("<I", 8) + text(b"x" * MAX_KEPT_STRING)
    reader = over(one * 100)
    for number in range(64):
        reader.value(f"key {number}")
    with pytest.raises(GgufError, match="too much metadata, by 'key 64'"):
        reader.value("key 64")


def test_a_file_that_becomes_shorter_while_it_is_read_is_named(over: Over, tmp_path: Path) -> None:
    reader = over(b"x" * 100)
    (tmp_path / "model.gguf").write_bytes(b"")
    with pytest.raises(GgufError, match="changed while it was read, at byte 0"):
        reader.take(10)
