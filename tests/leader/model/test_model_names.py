"""Names of copied files: within bounds, inside their directory, parts numbered as the engine wants them."""

import os
from contextlib import suppress
from pathlib import PurePath
from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leader.model.model_names import file_names, part_name, refused_name, told_name
from mesh.copies.copy_store import LOG, PART, TREE
from mesh.wire.errors import MeshError
from mesh.wire.profile import MAX_NAME


def test_the_parts_of_a_split_model_are_numbered() -> None:
    assert file_names("big-00001-of-00003.gguf", 3) == [
        "big-00001-of-00003.gguf",
        "big-00002-of-00003.gguf",
        "big-00003-of-00003.gguf",
    ]
    assert part_name("big-00001-of-00003.gguf", 2, 4) is None


def test_a_name_that_is_no_parts_has_no_parts() -> None:
    with pytest.raises(MeshError, match="first of 2 files"):
        file_names("big.gguf", 2)


def test_a_long_name_keeps_the_number_of_its_part() -> None:
    told = told_name("ä" * 200 + "-00001-of-00002.gguf")
    assert told.endswith("ä-00001-of-00002.gguf")
    assert len(told.encode()) <= MAX_NAME
    assert len(file_names(told, 2)) == 2
    assert told_name("tiny.gguf") == "tiny.gguf"


ODD = st.sampled_from([*"./\\ -\0\n\x7f\x85\u200b\u202e\ufeff", "..", ".pieces", ".tree", ".part"])
NAMES = st.lists(st.text(max_size=100) | ODD, max_size=4).map("".join)


@given(NAMES, st.integers(1, 4))
def test_no_name_leads_out_of_its_folder_or_over_its_bound(name: str, count: int) -> None:
    told = told_name(name)
    assert len(told.encode()) <= MAX_NAME
    for asked in (name, told, f"{name}-00001-of-{count:05d}.gguf"):
        try:
            names = file_names(asked, count)
        except MeshError:
            continue
        assert len(set(names)) == count
        for file in names:
            assert PurePath(file).name == file
            assert "\0" not in file
            assert len(os.fsencode(file)) <= 255


@given(NAMES, st.integers(1, 4))
def test_no_name_is_that_of_a_file_which_the_store_keeps_for_itself(name: str, count: int) -> None:
    with suppress(MeshError):
        for file in file_names(told_name(name), count):
            seen = "".join(character for character in file if category(character) != "Cf")
            assert not seen.startswith("."), "all files of the store's own begin with a dot"
    for own in (LOG, TREE, PART):
        assert own.startswith(".")
        with pytest.raises(MeshError, match="dot"):
            file_names(own + name.replace("\0", ""), 1)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "empty"),
        (".", "dot"),
        ("..", "dot"),
        (".pieces", "dot"),
        ("\u200d.pieces", "characters"),
        ("a/b.gguf", "characters"),
        ("a\\b.gguf", "characters"),
        ("a\nb.gguf", "characters"),
        ("a\x85b.gguf", "characters"),
        ("a\udcffb.gguf", "characters"),
        ("ä" * 128, "255 bytes"),
    ],
)
def test_a_name_that_no_file_may_have_is_refused_with_the_reason(name: str, reason: str) -> None:
    assert reason in str(refused_name(name))
    with pytest.raises(MeshError, match=reason):
        file_names(name, 1)


def test_common_names_are_kept_as_they_are() -> None:
    for name in ("Qwen3-8B Q4_K_M.gguf", "modèle.v1.gguf", "模型.gguf", "no-suffix", "con", "a..b"):
        assert file_names(told_name(name), 1) == [name]
