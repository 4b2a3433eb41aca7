"""What placement knows of a model, and of the same model in another quantisation."""

from pathlib import Path

from leader.model.gguf import read
from mesh.tools.generator import ModelSpec, generate

SPEC = ModelSpec(layers=3, n_embd=128, heads=4, kv_heads=2, ffn=160, vocabulary=512, context=777)


def test_a_smaller_quantisation_has_less_of_all_weights_and_the_same_cache(tmp_path: Path) -> None:
    model_info = read(generate(tmp_path / "model.gguf", SPEC)[0])
    half = model_info.scaled(model_info.total_bytes // 2)
    assert half.total_bytes == model_info.total_bytes // 2
    for less, more in zip(half.layer_bytes, model_info.layer_bytes, strict=True):
        assert 0.49 < less / more < 0.51
    for name in ("largest_tensor", "head_bytes", "embedding_bytes"):
        assert 0.49 < getattr(half, name) / getattr(model_info, name) < 0.51
    assert (half.caches, half.n_embd, half.n_vocab) == (
        model_info.caches,
        model_info.n_embd,
        model_info.n_vocab,
    )
    assert model_info.scaled(model_info.total_bytes) == model_info
    assert min(model_info.scaled(1).layer_bytes) > 0, "placement divides by it"
