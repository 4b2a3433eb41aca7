"""The options that say how the engine is to run a model: of ``mesh serve``, and of ``mesh plan``."""

import argparse
from typing import TYPE_CHECKING, Final, NamedTuple

from leader.model.engine_settings import KV_TYPES
from mesh.cli import option_values
from mesh.cli.options import Options
from mesh.control.operations import PlanArgs, ServeArgs

if TYPE_CHECKING:
    from mesh.cli.models.bringing import Brought

KV: Final = tuple(KV_TYPES)
OFF: Final = "off"
"""In place of a projector's file: none, though one was downloaded beside the model."""


class MeantProjector(NamedTuple):
    """A projector's ``path`` on this machine, empty for none; or its root in hex, ``held`` by the pool."""

    path: str = ""
    held: str = ""


def configure(options: Options) -> None:
    options.value(
        "--ctx",
        convert=option_values.tokens,
        metavar="N",
        help="tokens of context for each slot: 8192, 8k",
    )
    options.value("--slots", convert=option_values.positive, metavar="N", help="requests answered at once")
    options.value(
        "--kv",
        choices=KV,
        metavar="|".join(KV),
        help="how the context is kept: q8_0 takes half of f16's memory, q4_0 a quarter",
    )
    options.value(
        "--layers", convert=option_values.layers, metavar="NAME=N,...", help="fix how many layers go where"
    )
    options.value(
        "--mmproj",
        metavar="FILE",
        help="the projector by which the model reads pictures: a file, or the name of a held one; "
        "off: none, though it was downloaded with the model",
    )
    options.flag("--embeddings", help="give vectors of texts, or ranks, in place of answers")


def projector(args: argparse.Namespace) -> MeantProjector | None:
    """The projector that was typed; None where none was, so that one that came with the model is taken.

    Raises MeshError for what is no file here and nothing that the pool holds.
    """
    if args.mmproj is None:
        return None
    if args.mmproj == OFF:
        return MeantProjector()
    from mesh.cli.models.model_argument import file_or_held

    found = file_or_held(args, args.mmproj)
    return MeantProjector(held=found.held) if found.held else MeantProjector(found.files[0])


def came_along(brought: "Brought") -> MeantProjector | None:
    """The projector that was downloaded with the model; None where none was."""
    if brought.projector or brought.projector_held:
        return MeantProjector(brought.projector, brought.projector_held)
    return None


def name_projector(request: ServeArgs | PlanArgs, meant: MeantProjector | None) -> None:
    """Say in a request which projector is meant, if one is."""
    if meant is not None and meant.held:
        request["projector_held"] = meant.held
    elif meant is not None:
        request["projector"] = meant.path
