"""A source goes into options that each are within the wire's bound, and comes out as it was."""

import pytest

from mesh.runtime.deployment_source import source_of, with_source
from mesh.wire.errors import MeshError
from mesh.wire.facts import Deployment
from mesh.wire.identity import PoolId
from mesh.wire.profile import Model
from mesh.wire.signed_facts import decode, sign
from simulations.signing import KeyedHash

COMMIT = "0123456789" * 4


@pytest.mark.parametrize(
    "source",
    [
        "x",
        f"hf:someone/a-model-GGUF@{COMMIT}/a-model-Q4_K_M.gguf",
        f"hf:someone/a-model-GGUF@{COMMIT}/Q4_K_M/" + "long-" * 50 + "00001-of-00009.gguf",
        "https://example.org/" + "ä" * 200,
        "語" * 168,
        "x" * 512,
    ],
)
def test_a_source_survives_a_signed_deployment(source: str) -> None:
    signer = KeyedHash(2)
    options = with_source((("flash", "on"),), source)
    model = Model("tiny.gguf", 1, bytes(32))
    said = Deployment(PoolId(bytes(16)), signer.id, 1, model, 1, 1, True, options=options)
    read = decode(sign(said, signer).data).fact
    assert source_of(read.options) == source
    assert ("flash", "on") in read.options


def test_a_shorter_source_takes_the_place_of_a_longer_one() -> None:
    options = with_source(with_source((), "long" * 100), "short")
    assert options == (("source", "short"),)


def test_a_source_that_is_too_long_keeps_no_model_from_being_served() -> None:
    assert with_source((("flash", "on"), ("source", "old")), "x" * 513) == (("flash", "on"),)


def test_options_without_a_source_have_none() -> None:
    assert source_of(()) == source_of((("flash", "on"),)) == ""


@pytest.mark.parametrize("source", ["", "two\nlines", "\x1b[31m"])
def test_what_is_no_source_is_refused(source: str) -> None:
    with pytest.raises(MeshError, match="a model's source"):
        with_source((), source)
