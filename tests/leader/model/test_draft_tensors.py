"""Draft layers: which of their tensors weigh. The engine's own word is asked in `test_gguf_with_engine`."""

import pytest

from leader.model.draft_tensors import loads_of_draft


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
