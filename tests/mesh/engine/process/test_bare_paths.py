"""Texts for other machines name files, not the folders that they are in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.engine.process.bare_paths import without_folders


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("failed to open /home/anna/models/big.gguf: No such file", "failed to open big.gguf: No such file"),
        ("failed to open '/home/anna b/my models/big.gguf'", "failed to open 'big.gguf'"),
        ('cannot write "/root/state/": full', 'cannot write "state": full'),
        ("cannot write /home/anna/.local/state/x/deployment: full", "cannot write deployment: full"),
        ("file=/home/anna/x.gguf (/Users/bert/y.gguf, /z)", "file=x.gguf (y.gguf, z)"),
    ],
)
def test_of_a_path_its_last_name_is_told(text: str, told: str) -> None:
    assert without_folders(text) == told


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a/b tokens/s",
        "see http://[::1]:50080/v1/models",
        "1 / 2",
        "rpc.cpp:12: read/write",
        "//",
    ],
)
def test_what_is_no_path_stays(text: str) -> None:
    assert without_folders(text) == text


NAMES = st.from_regex(r"[\w.-]{1,8}", fullmatch=True)


@given(st.lists(NAMES, min_size=1, max_size=5), NAMES, st.sampled_from(["at {} now", "'{}'", "({})", "f={}"]))
def test_no_folder_is_told(folders: list[str], name: str, frame: str) -> None:
    assert without_folders(frame.format("/" + "/".join([*folders, name]))) == frame.format(name)
