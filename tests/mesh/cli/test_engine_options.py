"""What a person types about the engine, and what came along with a model."""

import argparse

import pytest

from leader.model.engine_settings import KV_TYPES
from mesh.cli import engine_options
from mesh.cli.engine_options import MeantProjector, came_along, projector
from mesh.cli.models.bringing import Brought
from mesh.cli.options import Options


def test_the_forms_of_a_context_that_can_be_typed_are_those_that_the_engine_has() -> None:
    assert tuple(KV_TYPES) == engine_options.KV


def test_each_option_is_known_to_the_config_file_as_well() -> None:
    options = Options(argparse.ArgumentParser())
    engine_options.configure(options)
    assert options.keys() >= {"ctx", "slots", "kv", "layers", "mmproj", "embeddings"}


@pytest.mark.parametrize(("typed", "meant"), [(None, None), ("off", MeantProjector())])
def test_none_and_off_are_not_the_same(typed: str | None, meant: MeantProjector | None) -> None:
    assert projector(argparse.Namespace(mmproj=typed)) == meant


@pytest.mark.parametrize(
    ("brought", "meant"),
    [
        (Brought(), None),
        (Brought(projector="/a/mmproj.gguf"), MeantProjector("/a/mmproj.gguf")),
        (Brought(projector_held="ab" * 32), MeantProjector(held="ab" * 32)),
    ],
)
def test_what_came_along_is_here_or_where_the_model_is(
    brought: Brought, meant: MeantProjector | None
) -> None:
    assert came_along(brought) == meant
