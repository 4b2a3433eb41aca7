"""Names of copied files: within bounds, inside their directory, parts numbered as the engine wants them."""

from pathlib import PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leader.model.model_names import file_names, part_name, told_name
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


@given(st.text(max_size=300), st.integers(1, 4))
def test_no_name_leads_out_of_its_directory_or_over_its_bound(name: str, count: int) -> None:
    told = told_name(name)
    assert len(told.encode()) <= MAX_NAME
    try:
        names = file_names(told, count)
    except MeshError:
        assert count > 1
        return
    assert len(set(names)) == count
    for file in names:
        assert PurePath(file).name == file
        assert file not in ("", ".", "..")
        assert "\0" not in file
