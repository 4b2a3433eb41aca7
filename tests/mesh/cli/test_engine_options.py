"""What a person types about the engine, and what came along with a model."""

import argparse

import pytest

from mesh.cli import engine_options
from mesh.cli.engine_options import MeantProjector, came_along, name_projector, projector
from mesh.cli.models.bringing import Brought
from mesh.cli.options import Options
from mesh.control.operations import PlanArgs


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


@pytest.mark.parametrize(
    ("meant", "said"),
    [
        (None, {}),
        (MeantProjector(), {"projector": ""}),
        (MeantProjector("/a/mmproj.gguf"), {"projector": "/a/mmproj.gguf"}),
        (MeantProjector(held="ab" * 32), {"projector_held": "ab" * 32}),
    ],
)
def test_a_request_says_none_or_nothing_of_it_or_where_it_is(
    meant: MeantProjector | None, said: dict[str, str]
) -> None:
    request: PlanArgs = {"model": None, "layers": None}
    name_projector(request, meant)
    assert request == {"model": None, "layers": None, **said}
