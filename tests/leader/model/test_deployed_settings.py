"""What a deployment says of the engine is read as it was written, and takes no other option away."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leader.model.deployed_settings import settings_of, with_settings
from leader.model.engine_settings import KV_TYPES, EngineSettings
from mesh.wire.facts import Deployment, DeploymentOptions
from mesh.wire.identity import NodeId, PoolId
from mesh.wire.profile import Model

TOY = Deployment(
    PoolId(bytes(16)), NodeId(bytes(16)), 1, Model("toy.gguf", 8, bytes(32)), 512, 2, running=True
)
others = st.dictionaries(st.sampled_from(("source", "flash", "spec")), st.text("abc", max_size=3), max_size=3)


@given(st.sampled_from(sorted(KV_TYPES)), st.booleans(), others)
def test_settings_come_back_and_other_options_stay(kv: str, embeddings: bool, other: dict[str, str]) -> None:
    before: DeploymentOptions = tuple(sorted({**other, "kv": "q4_0", "embeddings": "yes"}.items()))
    wanted = EngineSettings(512, 2, kv, embeddings)
    options = with_settings(before, wanted)
    assert settings_of(replace(TOY, options=options)) == wanted
    assert {key: value for key, value in options if key in other} == other
    assert list(options) == sorted(options)


def test_what_is_usual_is_not_said_so_that_older_members_read_it() -> None:
    assert with_settings((), EngineSettings(512)) == ()


def test_the_file_beside_the_model_counts_with_its_bytes() -> None:
    assert settings_of(replace(TOY, second=Model("mmproj.gguf", 77, bytes(32)))).projector == 77


@pytest.mark.parametrize("kv", ["q2_k", "", "F16"])
def test_a_form_that_only_a_later_program_knows_is_kept_whole(kv: str) -> None:
    assert settings_of(replace(TOY, options=(("kv", kv),))).kv == "f16"
