"""The API's key: one long word in a file that is nobody else's to read."""

from pathlib import Path

import pytest

from mesh.gateway.api_key import read_api_key
from mesh.wire.errors import MeshError

WORD = "open-sesame-0123"


def file(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    path = folder / "key"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_the_key_is_what_the_file_holds_without_the_end_of_its_line(tmp_path: Path) -> None:
    assert read_api_key(file(tmp_path, f"{WORD}\n".encode())) == WORD


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_key_that_others_can_read_is_refused_with_what_helps(tmp_path: Path, mode: int) -> None:
    path = file(tmp_path, WORD.encode(), mode)
    with pytest.raises(MeshError, match="others can read") as caught:
        read_api_key(path)
    assert caught.value.hint == f"chmod 600 {path}"


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"short", b"two words of which none is", b"\xff" * 20, b"a\x00" * 16]
)
def test_what_is_no_key_opens_nothing(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(MeshError, match="no API key") as caught:
        read_api_key(file(tmp_path, content))
    assert "openssl rand" in caught.value.hint


def test_a_key_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(MeshError, match="cannot read the API key"):
        read_api_key(tmp_path / "none")
