"""Six trust domains in turns on four slots: what their first token takes, beside a single domain's.

Two bare llama-servers, each with the leader's own turns in this process: on one six domains go on with their
conversations of about 1,000 tokens, each when its turn comes; on the other a single domain does, in between.
"""

import argparse
import os
import statistics
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import trio

from leader.door.slots.parking_cost import ParkingCost
from leader.door.slots.slot_table import SlotTable
from leader.llama.slots import Slots
from leader.model.engine_settings import EngineSettings
from leader.model.gguf import read
from leader.placement.planner import place
from mesh.engine.detect import detect
from mesh.engine.install.build import ensure
from mesh.engine.install.cache import cache_dir
from mesh.engine.types import Engine
from mesh.serving.asking.slot_turns import SlotTurns
from mesh.tools.generator import SYLLABLES
from mesh.tools.speaking_model import speaking_model
from tests.benchmarks.report import Report, Row, Summary, at_most
from tests.leader.llama.bare_server import bare_server
from tests.leader.shapes import GIB, host
from tests.mesh.serving.slot_completion import Completion, complete

HELP = "warm first tokens of six trust domains in turns on four slots, beside a single domain's"
DOMAINS: Final = "abcdef"
SINGLE: Final = "s"
SLOTS: Final = 4
CONTEXT: Final = 4096
REPEATS: Final = 10
WORDS: Final = 1000
NEW_WORDS: Final = 16
TOKENS: Final = 8
GOAL: Final = 2.0


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repeats", type=int, default=REPEATS, help="turns of each domain")
    parser.add_argument("--model", type=Path, help="a GGUF file; else SmolLM2, fetched once")


@dataclass
class Measured:
    """Milliseconds to the first token, pair by pair, and the share of the six that found their tokens."""

    six: list[float] = field(default_factory=list)
    single: list[float] = field(default_factory=list)
    cold: list[float] = field(default_factory=list)
    found: list[float] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        return [six / single for six, single in zip(self.six, self.single, strict=True)]


class Conversation:
    """A domain's text, which grows by each answer and a few new words."""

    def __init__(self, turns: SlotTurns, domain: str) -> None:
        self._turns = turns
        self._domain = domain
        self._text = _words(ord(domain), WORDS)
        self._asked = 0

    async def go_on(self, grows: bool = True) -> Completion:
        """Ask for the next answer; where it does not grow, the next will have this one's place."""
        self._asked += 1
        words = _words(self._asked, NEW_WORDS)
        answer = await complete(self._turns, self._domain, f"{self._text} {words}", TOKENS)
        if grows:
            self._text += f" {words}{answer.text}"
        return answer


def run(options: argparse.Namespace) -> Report:
    """Measure and print; see the module."""
    engine = trio.run(ensure, detect(), cache_dir(), lambda progress: None)
    model = options.model or trio.run(speaking_model)
    measured = Measured()
    trio.run(_measure, engine, model, options.repeats, measured)
    return _report(options.repeats, model, measured)


async def _measure(engine: Engine, model: Path, repeats: int, measured: Measured) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with (
            _turns(engine, model, Path(folder, "six")) as of_six,
            _turns(engine, model, Path(folder, "single")) as of_one,
        ):
            six = [Conversation(of_six, domain) for domain in DOMAINS]
            single = Conversation(of_one, SINGLE)
            for conversation in [*six, single]:
                measured.cold.append((await conversation.go_on()).first_token * 1000)
            for number in range(repeats + 1):  # the first round is to learn what is worth a file
                for conversation in six:
                    warm = await conversation.go_on()
                    beside = await single.go_on(grows=conversation is six[-1])
                    if number:
                        measured.six.append(warm.first_token * 1000)
                        measured.single.append(beside.first_token * 1000)
                        measured.found.append(float(warm.cached > 0))


@asynccontextmanager
async def _turns(engine: Engine, model: Path, folder: Path) -> AsyncIterator[SlotTurns]:
    await trio.Path(folder).mkdir()
    slots = Slots(
        folder / "slots", place(read(model), [host(4 * GIB)], EngineSettings(CONTEXT, SLOTS)), b"m" * 32
    )
    slots.prepare(restore=False)
    arguments = ["-c", str(CONTEXT * SLOTS), "-np", str(SLOTS), "--no-kv-unified", "--device", "none"]
    arguments += ["--slot-save-path", f"{slots.files}/"]
    async with (
        bare_server(engine.llama_server, model, folder, *arguments) as url,
        trio.open_nursery() as nursery,
    ):
        connect = partial(trio.open_tcp_stream, "127.0.0.1", int(url.rpartition(":")[2]))
        table = SlotTable(SLOTS, slots.places, ParkingCost(slots.token_bytes))
        turns = SlotTurns(table, connect, slots)
        await nursery.start(turns.run)
        yield turns
        nursery.cancel_scope.cancel()


def _words(seed: int, count: int) -> str:
    return " ".join(
        SYLLABLES[(seed * 7919 + number * number * 31) % len(SYLLABLES)] for number in range(count)
    )


def _report(repeats: int, model: Path, measured: Measured) -> Report:
    columns = {
        "six in turns, ms": measured.six,
        "a single one, ms": measured.single,
        "cold, ms": measured.cold,
        "six / single": measured.ratios,
    }
    cells = {column: summary for column, some in columns.items() if (summary := Summary.of(some))}
    ratio = round(statistics.median(measured.ratios), 3) if measured.six else None
    goals = [at_most("warm first token, six in turns / a single one, median of pairs", GOAL, ratio, "")]
    parameters = {
        "model": model.name,
        "slots": SLOTS,
        "domains": len(DOMAINS),
        "repeats": repeats,
        "cores": os.cpu_count(),
    }
    found = statistics.mean(measured.found) if measured.found else 0.0
    notes = [
        f"{found:.0%} of the six's turns found their conversation; cold is the first prompt of each",
        f"load average at the end: {os.getloadavg()[0]:.1f}; both answer in turns",
    ]
    results = {
        "six_ms": measured.six, "single_ms": measured.single, "cold_ms": measured.cold, "found": found,
    }  # fmt: skip
    return Report("domains", parameters, results, goals, [Row("first token", "", cells)], notes)
