from pathlib import PurePosixPath

import pytest

from mesh.engine.engine_errors import EngineError
from mesh.engine.install import pins
from mesh.engine.install.llama_source import choose_sdist, is_needed
from mesh.engine.install.package_index import IndexFile


def test_the_checksum_is_the_pinned_one_whatever_the_index_says() -> None:
    chosen = choose_sdist(
        [IndexFile("x", "http://x", "0"), IndexFile(pins.SDIST_NAME, "http://y", "evil", 3)]
    )
    assert chosen == IndexFile(pins.SDIST_NAME, "http://y", pins.SDIST_SHA256, pins.SDIST_SIZE)


def test_an_index_without_it_is_an_error() -> None:
    with pytest.raises(EngineError, match="has no"):
        choose_sdist([IndexFile("x", "http://x", "0")])


@pytest.mark.parametrize(
    "path", ["CMakeLists.txt", "ggml/src/ggml.c", "tools/server/server.cpp", "src/models/llama.cpp"]
)
def test_what_a_build_reads_is_unpacked(path: str) -> None:
    assert is_needed(PurePosixPath(path))


@pytest.mark.parametrize(
    "path", ["models/ggml-vocab.gguf", "docs/build.md", "tests/test.cpp", ".github/x.yml"]
)
def test_what_it_does_not_read_is_left_out(path: str) -> None:
    assert not is_needed(PurePosixPath(path))
