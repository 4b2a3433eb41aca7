"""Generated models: reproducible bytes, the size asked for, and answers that never end and stay printable."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from mesh.tools.generator import ModelSpec, generate, main, spec_of_size
from mesh.wire.errors import MeshError
from tests.leader.llama.bare_server import bare_server, post

SMALL = ModelSpec(layers=2, n_embd=64, heads=2, kv_heads=1, ffn=96, vocabulary=512, context=256)


def contents(files: list[Path]) -> list[bytes]:
    return [file.read_bytes() for file in files]


def test_the_same_settings_give_the_same_bytes(tmp_path: Path) -> None:
    assert contents(generate(tmp_path / "a.gguf", SMALL)) == contents(generate(tmp_path / "b.gguf", SMALL))


def test_another_seed_gives_another_model(tmp_path: Path) -> None:
    other = ModelSpec(layers=2, n_embd=64, heads=2, kv_heads=1, ffn=96, vocabulary=512, context=256, seed=1)
    assert contents(generate(tmp_path / "a.gguf", SMALL)) != contents(generate(tmp_path / "b.gguf", other))


@pytest.mark.parametrize("kind", ["F16", "F32", "Q8_0"])
@pytest.mark.parametrize("size", [4_000_000, 20_000_000])
def test_a_file_is_within_a_tenth_of_the_size_asked_for(tmp_path: Path, kind: str, size: int) -> None:
    (file,) = generate(tmp_path / "a.gguf", spec_of_size(size, ModelSpec(kind=kind, layers=6)))
    assert abs(file.stat().st_size - size) < size / 10


def test_weights_have_the_spread_that_was_meant(tmp_path: Path) -> None:
    (file,) = generate(tmp_path / "a.gguf", SMALL)
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(file).tensors}
    gate = tensors["blk.0.ffn_gate.weight"].data.astype(np.float32)
    assert abs(gate.std() * 64**0.5 - 1) < 0.05
    assert abs(gate.mean()) < 0.01


@pytest.mark.parametrize("kind", ["F16", "F32", "Q8_0"])
def test_no_layer_writes_to_the_reserved_channel(tmp_path: Path, kind: str) -> None:
    spec = ModelSpec(layers=2, n_embd=64, heads=2, kv_heads=1, ffn=96, vocabulary=512, context=256, kind=kind)
    (file,) = generate(tmp_path / "a.gguf", spec)
    for tensor in gguf.GGUFReader(file).tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type)
        if tensor.name.endswith(("attn_output.weight", "ffn_down.weight")):
            assert not values[0].any()
        if tensor.name == "token_embd.weight":
            assert (values[:, 0] > 0.9).all()
        if tensor.name == "output.weight":
            silent = values[:, 0] < -400
            assert silent[
                : 3 + 256 + 4 + 95 + 80
            ].all()  # control, bytes, chat markers, characters, syllables
            assert not silent[3 + 256 + 4 + 95 + 80 :].any()
            assert not values[silent, 1:].any()


def test_parts_are_named_and_keyed_as_gguf_split_does(tmp_path: Path) -> None:
    files = generate(tmp_path / "a.gguf", SMALL, parts=3)
    assert [file.name for file in files] == [f"a-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
    readers = [gguf.GGUFReader(file) for file in files]
    fields = [
        (reader.fields["split.no"].contents(), reader.fields["split.count"].contents()) for reader in readers
    ]
    assert fields == [(0, 3), (1, 3), (2, 3)]
    whole = {
        t.name: t.data.tobytes() for t in gguf.GGUFReader(generate(tmp_path / "b.gguf", SMALL)[0]).tensors
    }
    assert {t.name: t.data.tobytes() for reader in readers for t in reader.tensors} == whole


def test_nothing_but_the_model_is_left_behind(tmp_path: Path) -> None:
    generate(tmp_path / "a.gguf", SMALL)
    assert [file.name for file in tmp_path.iterdir()] == ["a.gguf"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "Q4_K"},
        {"n_embd": 65},
        {"heads": 3},
        {"vocabulary": 300},
        {"layers": 0},
    ],
)
def test_settings_that_make_no_model_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(MeshError):
        ModelSpec(**wrong)


def test_the_command_line_writes_a_file_and_says_its_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "m.gguf"), "--size", "3M", "--layers", "4"]) == 0
    assert f"{(tmp_path / 'm.gguf').stat().st_size} bytes" in capsys.readouterr().out
    assert main([str(tmp_path / "n.gguf"), "--vocabulary", "5"]) == 1
    assert "too small" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["F16", "Q8_0"])
async def test_four_hundred_greedy_tokens_come_without_an_end_and_are_varied(
    tmp_path: Path, engine: Any, kind: str
) -> None:
    (file,) = generate(tmp_path / "a.gguf", spec_of_size(8_000_000, ModelSpec(kind=kind)))
    async with bare_server(engine.llama_server, file, tmp_path) as url:
        answer = await post(
            f"{url}/completion",
            {"prompt": "Hello", "n_predict": 400, "temperature": 0, "return_tokens": True},
        )
        body = {
            "messages": [{"role": "user", "content": "Hi!"}],
            "max_tokens": 100,
            "temperature": 1.5,
            "seed": 1,
        }
        again = await post(f"{url}/tokenize", {"content": answer["content"]})
        chat = await post(f"{url}/v1/chat/completions", body)
    assert answer["stop_type"] == "limit"
    assert len(answer["tokens"]) == 400
    assert len(set(answer["tokens"])) > 100
    assert (
        again["tokens"][-399:] == answer["tokens"][-399:]
    )  # the tokenizer adds a space in front of the first
    assert all(0x20 <= ord(character) < 0x7F for character in answer["content"])
    assert chat["choices"][0]["finish_reason"] == "length"
