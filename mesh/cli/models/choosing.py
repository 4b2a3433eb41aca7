"""Which variant of a model is taken: the one that was named, or the best that fits the pool."""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from mesh.cli.asking import ask_sidecar
from mesh.control.control_errors import OperationRefused
from mesh.control.operations import FIT, Fit, FitArgs
from mesh.hub.quantisations import Variant, best, named, of_file, variants
from mesh.hub.references import HubReference
from mesh.hub.repository import Repository
from mesh.wire.amounts import size_text
from mesh.wire.errors import MeshError

if TYPE_CHECKING:
    from mesh.cli.terminal import Cell

HEADER_BYTES: Final = 16 << 20
MOST_HEADER_BYTES: Final = 64 << 20

Header = Callable[[Path, int], int]
"""Writes so many bytes of a file's beginning to a path; returns the size of the whole file."""


class Wishes(NamedTuple):
    """What the model is to be served with; None: the default. Without ``serving`` it is only fetched."""

    serving: bool
    context: int | None = None
    slots: int | None = None
    layers: dict[str, int] | None = None
    kv: str | None = None
    embeddings: bool = False


def choose(
    args: argparse.Namespace,
    repository: Repository,
    wanted: HubReference,
    wishes: Wishes,
    header: Callable[[Variant], Header],
) -> Variant:
    """The variant that is wanted, or the best that fits, which is then told on standard error.

    Raises `MeshError` where there is none of that name, or none fits. What is only fetched and was named by
    the person may be larger than the pool.
    """
    found = variants(repository.files)
    if not found:
        raise MeshError(
            f"{repository.repo} has no GGUF file that can be served",
            "repositories that have some are mostly called ...-GGUF; search the hub for one of this model",
        )
    if wanted.file or wanted.quantisation:
        if wanted.file:
            chosen = of_file(found, wanted.file, repository.files, repository.repo)
        else:
            chosen = named(found, wanted.quantisation, repository.repo)
        if wishes.serving:
            name = chosen.files[0].name
            (fit,) = fits(args, name, [chosen.size], chosen.size, wishes, header(chosen))
            refuse_too_big(chosen.quantisation, chosen.size, fit)
        return chosen
    smallest = min(found, key=lambda one: one.size)
    sizes = [one.size for one in found]
    judged = fits(args, smallest.files[0].name, sizes, smallest.size, wishes, header(smallest))
    taken = best(found, [fit["fits"] for fit in judged])
    if taken is None:
        raise _nothing_fits(repository.repo, found, judged)
    print(variant_table(found, judged, taken), file=sys.stderr)
    return taken


def fits(
    args: argparse.Namespace, name: str, sizes: Sequence[int], size: int, wishes: Wishes, header: Header
) -> list[Fit]:
    """For each of the sizes, whether such a variant fits the pool, by the header of file ``name``.

    That is the first of a variant of ``size``. A header that is longer than what was fetched is fetched
    again, more of it.
    """
    with tempfile.TemporaryDirectory(prefix="mesh-") as folder:
        beginning = Path(folder, "beginning.gguf")
        wanted = HEADER_BYTES
        while True:
            whole = header(beginning, wanted)
            request: FitArgs = {
                "header": str(beginning),
                "size": size or whole,
                "sizes": [one or whole for one in sizes],
                "context": wishes.context,
                "slots": wishes.slots,
                "layers": wishes.layers,
                "kv": wishes.kv,
                "embeddings": wishes.embeddings or not wishes.serving,  # what is only fetched is for any use
            }
            try:
                judged = ask_sidecar(args, FIT.request(request))["fits"]
                return [{**fit, "reason": fit["reason"].replace(beginning.name, "it")} for fit in judged]
            except OperationRefused as error:
                if error.code != "short_header" or wanted >= MOST_HEADER_BYTES:
                    message = error.message.replace(str(beginning), name)
                    raise OperationRefused(error.code, message, error.hint) from None
            wanted *= 2


def refuse_too_big(name: str, size: int, fit: Fit) -> None:
    """Raise `MeshError` for a model that does not fit, before it is downloaded."""
    if not fit["fits"]:
        raise MeshError(
            f"{name} ({size_text(size)}) does not fit: {fit['reason']}",
            "more machines, more --memory or a smaller --ctx help; mesh pull downloads it all the same",
        )


def variant_table(found: Sequence[Variant], judged: Sequence[Fit], taken: Variant) -> str:
    """The variants, best first, with the one that is taken marked."""
    from mesh.cli.terminal import table

    rows: list[list[Cell]] = [["", "QUANT", "SIZE", "FITS", "TOKENS/S"]]
    for one, fit in zip(found, judged, strict=True):
        speed = f"{fit['tokens_per_second']:.1f}" if fit["fits"] else "-"
        style = "bold" if one is taken else ""
        cells = ["*" if one is taken else "", one.quantisation, size_text(one.size), _yes(fit), speed]
        rows.append([(cell, style) for cell in cells])
    return table(rows, right=(2, 4))


def _yes(fit: Fit) -> str:
    return "yes" if fit["fits"] else "no"


def _nothing_fits(repo: str, found: Sequence[Variant], judged: Sequence[Fit]) -> MeshError:
    lines = [
        f"{one.quantisation} ({size_text(one.size)}): {fit['reason']}"
        for one, fit in list(zip(found, judged, strict=True))[-8:]
    ]
    return MeshError(
        f"nothing of {repo} fits this pool\n" + "\n".join(lines),
        "more machines, more --memory or a smaller --ctx help",
    )
