"""Random requests at the leader's end by a member that may ask, while another member is served.

Four hosts of the lab with the real engine. In each round another hostile member is let in, and sends its
share of the requests on raw streams. Then others are let in, who ask at once what the honest member has just
asked, as many as there are slots: nothing of that may be known to any of them.
"""

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import trio

from tests.benchmarks.report import Report, Row, Summary, at_least, at_most, nearest_rank
from tests.e2e.pools import alive, chat, client, found, is_ready, join, make_model, status_when
from tests.e2e.test_hostile import attack
from tests.lab.host import Host
from tests.lab.lab import Lab

HELP = "thousands of random requests at the leader's end: who is harmed?"
REQUESTS = 10_000
ROUND = 500
SLOTS = 4
QUIET = 40
WORDS = 60
ROUND_SECONDS = 900.0
REST_SECONDS = 2.0
"""Within which llama-server is done with what was asked before."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--requests", type=int, default=REQUESTS, help="in all")
    parser.add_argument("--first", type=int, default=0, help="number of the first one, its seed")
    parser.add_argument("--model", type=Path, help="a model to serve, if not a made one")


@dataclass
class Harm:
    """What was seen."""

    same_engine: bool = True
    same_answer: bool = True
    sent: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    faults: list[dict[str, Any]] = field(default_factory=list)
    found: list[int | None] = field(default_factory=list)
    """Tokens of what another asked that one who guessed it found; None where that was not told."""
    quiet: list[float] = field(default_factory=list)
    """Seconds to the first token of the honest member, before."""
    loud: list[float] = field(default_factory=list)
    """The same meanwhile."""


def run(options: argparse.Namespace) -> Report:
    """Measure and print; see the module."""
    harm = Harm()
    with tempfile.TemporaryDirectory() as folder, Lab() as lab:
        trio.run(measure, lab, Path(folder), options.requests, options.first, options.model, harm)
    return _report(options, harm)


async def measure(lab: Lab, folder: Path, requests: int, first: int, model: Path | None, harm: Harm) -> None:
    """Form a pool, and let it be attacked."""
    anna, bert, eve = lab.host("anna"), lab.host("bert"), lab.host("eve")
    token = await trio.to_thread.run_sync(found, anna)
    await trio.to_thread.run_sync(join, bert, token)
    cara = lab.host("cara")
    invite = anna.mesh_json("invite", "--rights", "work,ask", "--uses", "0")["token"]
    await trio.to_thread.run_sync(join, cara, invite)
    serve = ("--ctx", "1024", "--slots", str(SLOTS), "--wait")
    await anna.amesh("serve", model or make_model(folder), *serve, timeout=120)
    for host in (anna, bert, cara):
        await status_when(host, lambda status: len(alive(status)) == 3 and is_ready(status))
    greedy, engine = await chat(bert), _engine(anna)
    numbers = itertools.count()
    async with client(cara) as honest:
        for _ in range(QUIET):
            harm.quiet.append(await _first_token(honest, _words(next(numbers))))
        for begin in range(first, first + requests, ROUND):
            count = min(ROUND, first + requests - begin)
            told: dict[str, Any] = {}
            arguments = {"token": invite, "first": begin, "count": count, "within": ROUND_SECONDS}
            async with _meanwhile(honest, numbers, harm.loud):
                told = await attack(eve, "fuzz_door", anna, **arguments)
            harm.sent += count
            harm.statuses.update(told["statuses"])
            harm.faults += told["faults"]
            harm.found += await _guessed(anna, eve, invite, honest, _words(next(numbers)))
            harm.same_engine = harm.same_engine and _engine(anna) == engine
            harm.same_answer = harm.same_answer and await chat(bert) == greedy
            print(f"{harm.sent} requests: {dict(sorted(harm.statuses.items()))}", file=sys.stderr)


@asynccontextmanager
async def _meanwhile(
    honest: httpx.AsyncClient, numbers: Iterator[int], seconds: list[float]
) -> AsyncIterator[None]:
    """The honest member asks all the time, always something new."""

    async def ask() -> None:
        while True:
            seconds.append(await _first_token(honest, _words(next(numbers))))
            await trio.sleep(0.2)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        yield
        nursery.cancel_scope.cancel()


async def _guessed(
    anna: Host, eve: Host, invite: str, honest: httpx.AsyncClient, secret: str
) -> list[int | None]:
    """What new members find of what the honest one has just asked. Asking at once, each gets another slot."""
    await trio.sleep(REST_SECONDS)
    await _first_token(honest, secret)
    told = await attack(eve, "guess", anna, token=invite, secret=secret, count=SLOTS)
    found: list[int | None] = told["found"]
    return found


def _words(number: int) -> str:
    return " ".join(f"{number}-{index}" for index in range(WORDS))


async def _first_token(http: httpx.AsyncClient, prompt: str) -> float:
    """Seconds until the first token of a small answer."""
    body = {"prompt": prompt, "n_predict": 2, "temperature": 0, "stream": True}
    began = time.perf_counter()
    async with http.stream("POST", "/completion", json=body) as response:
        response.raise_for_status()
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                seconds = time.perf_counter() - began
                assert "content" in json.loads(line[6:])
                return seconds
    raise AssertionError("an answer without a token")


def _engine(host: Host) -> int:
    found = host.engine("llama-server")
    return 0 if found is None else found.pid


def _report(options: argparse.Namespace, harm: Harm) -> Report:
    quiet, loud = (nearest_rank(sorted(samples), 0.95) for samples in (harm.quiet, harm.loud))
    told = [found for found in harm.found if found is not None]
    goals = [
        at_least("the same llama-server to the end", 1, float(harm.same_engine), ""),
        at_least("the same greedy answer after each round", 1, float(harm.same_answer), ""),
        at_most("tokens of another's prompt found", 0, float(sum(told)) if told else None, ""),
        at_most("requests without an answer, or with a fault of ours", 0, float(len(harm.faults)), ""),
        at_most("others' first token, p95, while attacked / before", 2.0, round(loud / quiet, 3), ""),
    ]
    rows = [
        Row(name, "s", {"first token": summary})
        for name, samples in (("before", harm.quiet), ("while attacked", harm.loud))
        if (summary := Summary.of(samples))
    ]
    parameters = {"requests": harm.sent, "first": options.first, "slots": SLOTS, "cores": os.cpu_count()}
    results = {
        "statuses": dict(sorted(harm.statuses.items())),
        "faults": harm.faults[:20],
        "found": harm.found,
        "first_token_seconds": {
            "before": statistics.median(harm.quiet),
            "while_attacked": statistics.median(harm.loud),
        },
    }
    notes = [f"answers by status: {dict(sorted(harm.statuses.items()))}"]
    return Report("hostile", parameters, results, goals, rows, notes)
