"""Memory: what placement counts on by device and kind, beside what the engine says that it takes.

Tiny files of all architectures that the engine's own test writes, split over two devices, and SmolLM2 with
short and long contexts. The first run builds the oracle, which takes minutes.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import trio

from leader.model.engine_settings import EngineSettings
from leader.model.gguf import read
from mesh.engine.detect import detect
from mesh.engine.install.build import ensure
from mesh.engine.install.cache import cache_dir
from mesh.engine.types import Engine
from mesh.tools.speaking_model import speaking_model
from tests.benchmarks.report import Report, Row, Summary, at_least, at_most
from tests.oracle.build import ensure_oracle
from tests.oracle.engine_memory import KINDS, SPARE, NotLoaded, Share, compare

HELP = "memory that placement counts on, beside what the engine says that it takes"
_TINY = EngineSettings(2048)
_REAL = [EngineSettings(context, kv=kv) for context in (2048, 32768) for kv in ("f16", "q8_0")]
_MOST_RATIO = 1.1


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, action="append", default=[], help="a file of your own as well")


def run(options: argparse.Namespace) -> Report:
    """Load all files, one after another."""
    engine = trio.run(ensure, detect(), cache_dir(), lambda progress: None)
    real = [trio.run(speaking_model), *options.model]
    tiny = sorted(trio.run(ensure_oracle, cache_dir()).models.glob("*.gguf"))
    with tempfile.TemporaryDirectory() as folder:
        found = dict(_all(engine, real, tiny, Path(folder)))
    return _report(found)


def _all(
    engine: Engine, real: list[Path], tiny: list[Path], folder: Path
) -> Iterator[tuple[str, list[Share]]]:
    for file, settings in [(file, one) for file in real for one in _REAL] + [(file, _TINY) for file in tiny]:
        info = read(file)
        half = info.n_layers // 2
        try:
            shares = compare(engine, info, settings, [half, info.n_layers - half], folder)
        except NotLoaded:
            continue
        yield f"{file.stem} {settings.context} {settings.kv}", shares


def _report(found: dict[str, list[Share]]) -> Report:
    shares = [share for of_model in found.values() for share in of_model]
    lacking = sum(bool(share.lacking()) for share in shares)
    excessive = sorted(
        f"{name} on {share.device}" for name, of in found.items() for share in of if share.excess > 0
    )
    large = [share.ratio for share in shares if sum(share.taken.values()) >= 10 * SPARE]
    results = {name: [_told(share) for share in of_model] for name, of_model in found.items()}
    rows = []
    for kind in KINDS:
        ratios = [one.predicted[kind] / one.taken[kind] for one in shares if one.taken[kind] >= SPARE]
        if (summary := Summary.of(ratios)) is not None:
            rows.append(Row(f"{kind}, where it is 16 MiB or more", "ratio", {"predicted / taken": summary}))
    return Report(
        "memory",
        {"loads": len(found), "devices": len(shares)},
        results,
        [
            at_most("devices of which a kind was predicted too little", 0, lacking, "devices"),
            at_most("devices beyond a tenth and 16 MiB", 0, len(excessive), "devices"),
            at_least("least predicted / taken, of 160 MiB or more", 1.0, min(large, default=None), "ratio"),
            at_most(
                "most predicted / taken, of 160 MiB or more", _MOST_RATIO, max(large, default=None), "ratio"
            ),
        ],
        rows,
        [f"beyond: {', '.join(excessive)}"] if excessive else [],
    )


def _told(share: Share) -> dict[str, Any]:
    ratio = round(share.ratio, 4)
    return {"device": share.device, "predicted": share.predicted, "taken": share.taken, "ratio": ratio}
