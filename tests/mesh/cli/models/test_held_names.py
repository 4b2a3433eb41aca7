import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.cli.models.held_names import held_model
from mesh.control.operations import ModelHeld
from mesh.wire.errors import MeshError


def model(name: str, sha256: str = "a" * 64) -> ModelHeld:
    return {"name": name, "size": 1 << 30, "sha256": sha256, "members": ["m"], "serving": False}


HELD = [
    model("SmolLM2-135M-Instruct.Q4_1.gguf"),
    model("Qwen3-8B-Q4_K_M-00001-of-00002.gguf", "b" * 64),
    model("twin.gguf", "c" * 64),
    model("Twin.gguf", "d" * 64),
]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", 0),
        ("smollm2-135m-instruct.q4_1", 0),
        ("qwen3-8b-q4_k_m", 1),
        ("Qwen3-8B-Q4_K_M-00001-of-00002.gguf", 1),
        ("b" * 12, 1),
        ("D" * 64, 3),
    ],
)
def test_a_model_is_known_by_its_name_in_any_case_or_by_its_hash(text: str, number: int) -> None:
    assert held_model(HELD, text) is HELD[number]


def test_two_models_of_one_name_are_told_apart_by_their_hashes() -> None:
    with pytest.raises(MeshError, match="holds 2 models called twin") as refused:
        held_model(HELD, "twin")
    assert refused.value.hint == f"say which: {'c' * 12} or {'d' * 12}"


@pytest.mark.parametrize("text", ["smollm", "SmolLM2-135M-Instruct.Q4_0"])
def test_a_name_that_is_nearly_right_is_guessed_but_not_taken(text: str) -> None:
    with pytest.raises(MeshError, match=f"no model called {text}") as refused:
        held_model(HELD, text)
    assert refused.value.hint.startswith("did you mean SmolLM2-135M-Instruct.Q4_1? it holds SmolLM2")


def test_a_name_of_elsewhere_gets_told_how_the_hub_is_asked() -> None:
    with pytest.raises(MeshError) as refused:
        held_model([], "llama3:8b")
    assert refused.value.hint == (
        "it holds none as yet; one of the hub is called hf:OWNER/REPO, a file ./model.gguf"
    )


@given(st.lists(st.text(max_size=6), max_size=5), st.text(max_size=6))
def test_any_names_give_a_model_or_a_hint(names: list[str], text: str) -> None:
    held = [model(name, f"{number:064x}") for number, name in enumerate(names)]
    try:
        found: ModelHeld | str = held_model(held, text)
    except MeshError as refused:
        found = refused.hint
    assert found in held or isinstance(found, str)
    assert found
