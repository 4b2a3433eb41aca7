"""What an owner may ask a member to download: nothing but plain GGUF files of one commit."""

from typing import Any

import pytest

from mesh.hub.repository import HubFile
from mesh.operations.pulling.wanted_download import MAX_FILES, WantedDownload, read_request
from mesh.wire.errors import MeshError

COMMIT, SHA = "0123456789" * 4, "ab" * 32
GOOD: dict[str, Any] = {
    "repo": "some.one/a_model-GGUF",
    "commit": COMMIT,
    "files": [["a.gguf", 7, SHA], ["sub/b.gguf", 9, ""]],
    "held": 1,
}


def test_a_request_is_read_as_it_was_sent() -> None:
    files = (HubFile("a.gguf", 7, SHA), HubFile("sub/b.gguf", 9, ""))
    wanted = WantedDownload("some.one/a_model-GGUF", COMMIT, files, 1)
    assert wanted.message() == GOOD
    assert read_request(GOOD) == wanted
    assert wanted.size == 16


@pytest.mark.parametrize(
    "repo", ["a", "a/b/c", "../b", "a/..", "a b/c", "a/b\n", "", "-a/b", 3, "a/" + "b" * 97]
)
def test_what_is_no_repository_is_refused(repo: object) -> None:
    with pytest.raises(MeshError, match="is no repository"):
        read_request({**GOOD, "repo": repo})


@pytest.mark.parametrize(
    "commit", ["main", COMMIT[:-1], COMMIT + "0", COMMIT.replace("9", "A"), COMMIT + "\n", 7]
)
def test_what_is_no_commit_is_refused(commit: object) -> None:
    with pytest.raises(MeshError, match="is no commit"):
        read_request({**GOOD, "commit": commit})


@pytest.mark.parametrize(
    "path",
    [
        "", "/etc/a.gguf", "../a.gguf", "a/../b.gguf", "a//b.gguf", "./a.gguf", "a.bin", "a\\b.gguf",
        ".gguf/", "a\n.gguf", "x" * 512 + ".gguf", 5, None,
    ],
)  # fmt: skip
def test_a_path_that_is_not_plain_is_refused(path: object) -> None:
    with pytest.raises(MeshError, match="is no path of a GGUF file"):
        read_request({**GOOD, "files": [[path, 7, SHA]]})


@pytest.mark.parametrize(
    "files",
    [
        None,
        [],
        {},
        ["a.gguf"],
        [["a.gguf", 7]],
        [["a.gguf", 7, SHA]] * 2,
        [["a.gguf", 7, SHA]] * (MAX_FILES + 1),
    ],
)
def test_what_is_no_list_of_files_is_refused(files: object) -> None:
    with pytest.raises(MeshError):
        read_request({**GOOD, "files": files})


@pytest.mark.parametrize(
    ("size", "sha256"), [(0, SHA), (-1, SHA), (True, SHA), (2**60, SHA), (7, "AB" * 32), (7, 0)]
)
def test_sizes_and_hashes_are_checked(size: object, sha256: object) -> None:
    with pytest.raises(MeshError, match=r"of a\.gguf cannot be"):
        read_request({**GOOD, "files": [["a.gguf", size, sha256]]})


@pytest.mark.parametrize("held", [0, 3, -1, True, None, "1"])
def test_the_model_is_among_the_files(held: object) -> None:
    with pytest.raises(MeshError, match="the model cannot be"):
        read_request({**GOOD, "held": held})


@pytest.mark.parametrize("message", [None, [], "x", 3, {}])
def test_what_is_no_request_is_refused(message: object) -> None:
    with pytest.raises(MeshError):
        read_request(message)
