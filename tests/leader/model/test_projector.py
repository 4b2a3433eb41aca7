"""A projector is known by its header, and nothing else is taken for one."""

from pathlib import Path

import pytest

from leader.model import gguf
from leader.model.gguf_reader import GgufError
from leader.model.projector import refuse_no_projector
from tests.tiny_kinds import encoder, projector


def test_a_projector_is_told_from_a_model(tmp_path: Path) -> None:
    beside, model = projector(tmp_path / "any name.gguf", 64), encoder(tmp_path / "mmproj.gguf")
    refuse_no_projector(beside)
    with pytest.raises(GgufError, match="is no projector"):
        refuse_no_projector(model)
    with pytest.raises(GgufError, match=r"no language model \(it is a projector: .*--mmproj"):
        gguf.read(beside)
    beside.write_bytes(beside.read_bytes()[:-1])
    with pytest.raises(GgufError, match="cut short"):
        refuse_no_projector(beside)


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGML" + bytes(40), b"GGUF\x03\0\0\0" + b"\xff" * 40])
def test_what_is_no_file_of_a_model_is_refused_in_words(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.gguf"
    file.write_bytes(content)
    with pytest.raises(GgufError):
        refuse_no_projector(file)
    with pytest.raises(GgufError, match="No such file"):
        refuse_no_projector(tmp_path / "missing.gguf")


def test_a_header_without_an_architecture_is_none(tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    file.write_bytes(b"GGUF\x03\0\0\0" + bytes(16))
    with pytest.raises(GgufError, match="is no projector"):
        refuse_no_projector(file)
