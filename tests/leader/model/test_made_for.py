"""What a model is made for is read from its header, and what it cannot be served for is refused."""

from dataclasses import replace
from typing import Any

import pytest

from leader.model.engine_settings import EngineSettings
from leader.model.layer_caches import ENCODERS, LayerCache
from leader.model.made_for import MadeFor, batch, gives, made_for, pooling, refuse_kv
from leader.model.made_for import refuse_other_use as refuse
from mesh.wire.errors import MeshError
from tests.leader.shapes import model_info

TOY = model_info(4)
VECTORS = EngineSettings(2048, embeddings=True)
ANSWERS = EngineSettings(2048)


@pytest.mark.parametrize(
    ("changes", "made"),
    [
        ({}, MadeFor.ANSWERS),
        ({"pooling": "none"}, MadeFor.ANSWERS),
        ({"pooling": "last"}, MadeFor.EMBEDDINGS),
        ({"pooling": "mean"}, MadeFor.EMBEDDINGS),
        ({"pooling": "rank"}, MadeFor.RANKS),
        ({"causal": False}, MadeFor.EMBEDDINGS),
        ({"causal": False, "architecture": "dream"}, MadeFor.ANSWERS),
        ({"architecture": "t5encoder"}, MadeFor.EMBEDDINGS),
        ({"architecture": "bert", "causal": False, "pooling": "rank"}, MadeFor.RANKS),
        *(({"architecture": name}, MadeFor.EMBEDDINGS) for name in sorted(ENCODERS)),
    ],
)
def test_a_header_says_what_a_model_is_made_for(changes: dict[str, Any], made: MadeFor) -> None:
    model = replace(TOY, **changes)
    assert made_for(model) is made
    assert gives(model, ANSWERS) is MadeFor.ANSWERS
    assert gives(model, VECTORS) is (MadeFor.RANKS if made is MadeFor.RANKS else MadeFor.EMBEDDINGS)
    refuse(model, VECTORS)
    if made is MadeFor.ANSWERS:
        refuse(model, ANSWERS)
    else:
        with pytest.raises(MeshError, match=rf"gives {made.value}, no answers .*add --embeddings"):
            refuse(model, ANSWERS)


@pytest.mark.parametrize(
    ("changes", "way", "at_once"),
    [
        ({}, "last", 512),
        ({"pooling": "none"}, "last", 512),
        ({"pooling": "last"}, "last", 512),
        ({"pooling": "rank"}, "rank", 512),
        ({"pooling": "mean"}, "mean", 2048),
        ({"pooling": "cls", "causal": False}, "cls", 2048),
        ({"pooling": "rank", "causal": False}, "rank", 2048),
        ({"architecture": "bert"}, "mean", 2048),
        ({"causal": False}, "mean", 2048),
    ],
)
def test_a_vector_of_all_tokens_takes_a_whole_text_at_once(
    changes: dict[str, Any], way: str, at_once: int
) -> None:
    model = replace(TOY, **changes)
    assert pooling(model) == way
    assert batch(model, VECTORS) == at_once
    assert batch(model, ANSWERS) == 512
    assert batch(model, replace(VECTORS, context=64)) == 512


def test_a_context_is_packed_only_where_heads_and_engine_allow_it() -> None:
    packed = EngineSettings(512, kv="q8_0")
    refuse_kv(replace(TOY, key_width=64, value_width=128), packed)
    refuse_kv(TOY, packed)
    refuse_kv(replace(TOY, caches=(LayerCache(state=64),) * 4, key_width=16), packed)  # which keeps none
    refuse_kv(replace(TOY, key_width=80, value_width=80), EngineSettings(512))
    with pytest.raises(MeshError, match="q8_0 packs 32 numbers, and its heads are 80 wide"):
        refuse_kv(replace(TOY, key_width=64, value_width=80), packed)
    with pytest.raises(MeshError, match="no flash attention"):
        refuse_kv(replace(TOY, architecture="grok"), packed)
