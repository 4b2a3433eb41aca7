"""``python -m mesh.engine [--cache DIR] [--json]``: get an engine now, and show the progress.

This does in the foreground what ``mesh join`` does in the background, and prints where the engine is.
"""

import argparse
import dataclasses
import json
import signal
import sys
from pathlib import Path

import trio
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bar

from mesh.engine.detect import detect
from mesh.engine.install.build import ensure
from mesh.engine.install.cache import cache_dir
from mesh.engine.types import Engine, Progress
from mesh.wire.errors import MeshError


def main() -> int:
    """Exit status 0 with an engine, 1 without."""
    parser = argparse.ArgumentParser(
        prog="python -m mesh.engine", description="Find or build llama.cpp's programs."
    )
    parser.add_argument(
        "--cache", type=Path, default=cache_dir(), help="where engines are kept (%(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    console = Console(stderr=True)
    try:
        engine = trio.run(_interruptible, options.cache.absolute(), console)
    except MeshError as error:
        console.print(f"[red]error:[/red] {error.message}", highlight=False, soft_wrap=True)
        if error.hint:
            console.print(f"       {error.hint}", highlight=False, soft_wrap=True)
        return 1
    if engine is None:
        console.print("interrupted; the next run goes on from here")
        return 130
    if options.json:
        print(json.dumps(dataclasses.asdict(engine), default=str))
    else:
        print(f"{engine.origin} {engine.backend} engine, llama.cpp {engine.commit}, RPC {engine.rpc}")
        print(f"  {engine.llama_server}\n  {engine.rpc_server}")
    return 0


async def _interruptible(cache: Path, console: Console) -> Engine | None:
    """The engine; None after Ctrl-C or SIGTERM, with every started program ended."""
    engine: Engine | None = None
    failure: MeshError | None = None
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:

            async def work() -> None:
                nonlocal engine, failure
                try:
                    engine = await _ensure(cache, console)
                except MeshError as error:
                    failure = error
                nursery.cancel_scope.cancel()

            nursery.start_soon(work)
            async for _ in signals:
                nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return engine


async def _ensure(cache: Path, console: Console) -> Engine:
    backend = await trio.to_thread.run_sync(detect)
    console.print(f"{backend.kind}: {backend.name} ({backend.reason})", highlight=False, soft_wrap=True)
    if not console.is_terminal:
        return await ensure(backend, cache, _Lines(console).tell)
    columns = (
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[eta]}"),
        TextColumn("{task.description}"),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=1.0, eta="")

        def tell(progress: Progress) -> None:
            bar.update(
                task,
                completed=progress.fraction,
                description=progress.text,
                eta=_duration(progress.eta_seconds),
            )

        return await ensure(backend, cache, tell)


class _Lines:
    """Progress for logs: a line for each new stage, and one every 15 seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._stage = ""
        self._next = 0.0

    def tell(self, progress: Progress) -> None:
        if progress.stage != self._stage or trio.current_time() >= self._next:
            self._stage, self._next = progress.stage, trio.current_time() + 15.0
            eta = _duration(progress.eta_seconds)
            self._console.print(
                f"{progress.fraction:4.0%} {progress.text} {eta}", highlight=False, soft_wrap=True
            )


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"about {seconds / 60:.0f} min left" if seconds >= 90 else f"about {seconds:.0f} s left"


if __name__ == "__main__":
    sys.exit(main())
