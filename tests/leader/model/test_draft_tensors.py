"""Draft layers: which are, and what they weigh. The engine's own word is asked in `test_gguf_with_engine`."""

import pytest
from hypothesis import given

from leader.model.draft_tensors import draft_layers, loads_of_draft
from leader.model.header_values import Value
from tests.leader.model.test_header_values import VALUES


@pytest.mark.parametrize(
    ("architecture", "stated", "skipped"),
    [("a", 1, 1), ("a", 0, 0), ("a", 4, 0), ("a", "one", 0), ("gemma4-assistant", 1, 0)],
    ids=["one", "none", "as many as layers", "no number", "loaded"],
)
def test_draft_layers_are_the_last_ones_where_others_are_left(
    architecture: str, stated: Value, skipped: int
) -> None:
    assert draft_layers({f"{architecture}.nextn_predict_layers": stated}, architecture, 4) == skipped


@given(stated=VALUES)
def test_no_header_is_refused_for_its_draft_layers(stated: Value) -> None:
    assert 0 <= draft_layers({"a.nextn_predict_layers": stated}, "a", 3) < 3


@pytest.mark.parametrize(
    ("architecture", "name", "loaded"),
    [
        ("glm4moe", "blk.46.attn_q.weight", False),
        ("glm4moe", "blk.46.nextn.eh_proj.weight", False),
        ("hy_v3", "blk.80.attn_q.weight", False),
        ("hy_v3", "blk.80.ffn_up_exps.weight", True),
        ("cohere2moe", "blk.48.nextn.embed_tokens.weight", True),
        ("cohere2moe", "blk.48.nextn.enorm.weight", False),
        ("unheard-of", "blk.2.attn_q.weight", True),
    ],
)
def test_a_draft_layer_weighs_what_is_loaded_of_it(architecture: str, name: str, loaded: bool) -> None:
    assert loads_of_draft(architecture, name) is loaded
