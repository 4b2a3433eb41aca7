"""Kills in the middle of answers, by dice: what each part of the pause takes, and whether anything is lost.

Five hosts of the lab with the real engine (`tests.e2e.failing`). Each kill is of the leader's sidecar, of its
llama-server or of a worker's rpc-server, while an answer streams to a host that neither leads nor would be
next. Beside the pause stands what llama-server itself takes to load the same split from rpc-servers that wait
for it on loopback: what the pause has in excess of that is ours.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import trio

from mesh.engine.detect import detect
from mesh.engine.install.build import ensure
from mesh.engine.install.cache import cache_dir
from mesh.engine.types import Engine
from tests.benchmarks.report import Report, Row, Summary, at_least, at_most
from tests.e2e import failing
from tests.e2e.failing import CHAT, CONTEXT, Answer, Five, answer, five
from tests.lab.lab import Lab
from tests.leader.llama.bare_server import bare_server, rpc_server

HELP = "kills in the middle of answers: detection, election, plan, load, first new token"
KILLS = 20
TOKENS = 200
EARLIEST, LATEST = 20, 120
"""Between which tokens of the answer a kill comes."""
LOOK_SECONDS = 0.02
MEDIAN_GOAL, P99_GOAL = 3.0, 6.0
FAULTS = {
    "leader's sidecar": failing.kill_leaders_sidecar,
    "llama-server": failing.kill_llama_server,
    "worker's rpc-server": failing.kill_rpc_server,
}
PHASES = ("detection", "election", "plan", "load", "token")


@dataclass(frozen=True, slots=True)
class Look:
    """What the host that is asked said at a time: who leads in which term, and how far the leader is."""

    at: float
    leader: str
    term: int
    phase: str
    planned: bool


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill; seconds from one phase's end to the next's, ``pause`` is their sum, ``bare`` a bare load."""

    what: str
    after: int
    detection: float
    election: float
    plan: float
    load: float
    token: float
    pause: float
    bare: float
    lost: bool

    @property
    def overhead(self) -> float:
        """What the pause has in excess of a bare load, in seconds."""
        return self.pause - self.bare

    @property
    def until_ready(self) -> float:
        """The same without the replay of what the client has already, in seconds."""
        return self.pause - self.token - self.bare


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kills", type=int, default=KILLS, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="of the dice")


def run(options: argparse.Namespace) -> Report:
    """Measure and print; see the module."""
    engine = trio.run(ensure, detect(), cache_dir(), lambda progress: None)
    kills: list[Kill] = []
    with tempfile.TemporaryDirectory() as folder, Lab() as lab:
        pool = five(lab, Path(folder))
        trio.run(_soak, pool, engine, Path(folder), options.kills, random.Random(options.seed), kills)
    return report(options.kills, options.seed, kills)


async def _soak(
    pool: Five, engine: Engine, folder: Path, count: int, chance: random.Random, kills: list[Kill]
) -> None:
    status = await pool.settle()
    expected = await answer(pool, CHAT, "exact", tokens=TOKENS)
    for _ in range(2 * count):
        if len(kills) == count:
            return
        what, after = chance.choice(list(FAULTS)), chance.randrange(EARLIEST, LATEST)
        bare = await bare_load(engine, pool.model, folder, status)
        kill = await _kill(pool, what, after, bare, expected)
        if kill is not None:
            kills.append(kill)
            print(f"{len(kills)}: {in_words(kill)}", file=sys.stderr, flush=True)
        try:
            await pool.mend()
            status = await pool.settle()
        except AssertionError as error:
            print(f"the pool is not whole again: {error!r}", file=sys.stderr, flush=True)
            kills[-1:] = [replace(kill, lost=True) for kill in kills[-1:]]
            return


def in_words(kill: Kill) -> str:
    """One line about a kill."""
    parts = " ".join(f"{name} {getattr(kill, name):.2f}" for name in PHASES)
    rest = f"pause {kill.pause:.2f}, bare load {kill.bare:.2f}{', LOST' if kill.lost else ''}"
    return f"{kill.what} after {kill.after}: {parts}, {rest}"


async def _kill(pool: Five, what: str, after: int, bare: float, expected: Answer) -> Kill | None:
    """None where the answer was over before it was disturbed."""
    looks: list[Look] = []
    struck: list[float] = []
    strike = FAULTS[what](pool)

    async def do() -> None:
        struck.append(trio.current_time())
        strike()

    async def watch() -> None:
        while True:
            status = await trio.to_thread.run_sync(pool.status)
            looks.append(look(trio.current_time(), status))
            await trio.sleep(LOOK_SECONDS)

    lost = False
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        try:
            got = await answer(pool, CHAT, "exact", {after: do}, tokens=TOKENS)
            if not got.pauses:
                nursery.cancel_scope.cancel()
                return None
            first, lost = got.times[got.pauses[0]], got.text != expected.text
        except (AssertionError, httpx.HTTPError, trio.TooSlowError) as error:
            print(f"no answer: {error!r}", file=sys.stderr, flush=True)
            first, lost = trio.current_time(), True
        nursery.cancel_scope.cancel()
    return Kill(what, after, *phases(looks, struck[0], first), first - struck[0], bare, lost)


def look(at: float, status: dict[str, Any]) -> Look:
    leader, deployment = status["leader"] or {}, status["deployment"] or {}
    return Look(
        at,
        leader.get("name", ""),
        leader.get("term", 0),
        deployment.get("state", ""),
        status["plan"] is not None,
    )


def phases(looks: Sequence[Look], struck: float, token: float) -> tuple[float, float, float, float, float]:
    """Seconds of detection, election, plan, load and first token, which add up to ``token - struck``.

    Detected is what is no longer as it was at ``struck``; elected when somebody leads then; planned when
    there is a plan, and loaded when it is ready. What was too short to be seen took no time.
    """
    before = [one for one in looks if one.at <= struck]
    after = [one for one in looks if struck < one.at <= token]
    was = (before[-1].leader, before[-1].term, before[-1].phase)
    ends = [struck]
    steps: tuple[Callable[[Look], bool], ...] = (
        lambda one: (one.leader, one.term, one.phase) != was,
        lambda one: one.leader != "",
        lambda one: one.planned,
        lambda one: one.phase == "ready",
    )
    for reached in steps:
        after = [one for one in after if one.at >= ends[-1]]
        ends.append(next((one.at for one in after if reached(one)), token))
    ends.append(token)
    detection, election, plan, load, first = (end - begin for begin, end in pairwise(ends))
    return detection, election, plan, load, first


async def bare_load(engine: Engine, model: Path, folder: Path, status: dict[str, Any]) -> float:
    """Seconds from llama-server's start to its health, split as the pool's plan, without a pool."""
    remote = [stage for stage in status["plan"]["stages"] if stage["member"] != status["leader"]["id"]]
    async with AsyncExitStack() as stack:
        ports = [(await stack.enter_async_context(rpc_server(engine.rpc_server, folder)))[0] for _ in remote]
        split = split_of(remote, ports)
        began = time.perf_counter()
        await stack.enter_async_context(bare_server(engine.llama_server, model, folder, *split))
        return time.perf_counter() - began


def split_of(remote: Sequence[dict[str, Any]], ports: Sequence[int]) -> list[str]:
    """llama-server's arguments for the stages (as status gives them) that are not the leader's."""
    counts = [stage["layers"][1] - stage["layers"][0] + 1 for stage in remote]
    slots = [*counts[:-1], counts[-1] + 1]
    split = ["--rpc", ",".join(f"127.0.0.1:{port}" for port in ports)]
    split += ["--device", ",".join(f"RPC{number}" for number in range(len(ports)))]
    split += ["-ngl", str(sum(slots)), "-ts", ",".join(map(str, slots))]
    if not any(stage["head"] for stage in remote):
        split += ["-ot", r"^output\.weight$=CPU"]
    return [*split, "-c", str(CONTEXT), "--no-kv-unified"]


def report(count: int, seed: int, kills: Sequence[Kill]) -> Report:
    """The table: a row for each phase, a column for each kind of kill and one for all."""
    rows = []
    for name in (*PHASES, "pause", "bare", "overhead", "until_ready"):
        cells = {}
        for what in ("all", *FAULTS):
            of = [float(getattr(kill, name)) for kill in kills if what in ("all", kill.what)]
            if (summary := Summary.of(of)) is not None:
                cells[what] = summary
        rows.append(Row(name, "s", cells))
    overhead = Summary.of(kill.overhead for kill in kills)
    median, p99 = (None, None) if overhead is None else (overhead.median, overhead.p99)
    lost = sum(kill.lost for kill in kills)
    goals = [
        at_most("overhead over a bare load, median", MEDIAN_GOAL, median, "s"),
        at_most("overhead over a bare load, p99", P99_GOAL, p99, "s"),
        at_least("kills that could be made", count, len(kills), "kills"),
        at_most("answers that are not the undisturbed one", 0, lost if kills else None, "answers"),
    ]
    notes = [
        "the client asks for exact: from ready to the first new token all earlier ones are replayed",
        "until_ready is the overhead without that replay",
        "phases as the host sees them that is asked, which looks every 20 ms; bare: llama-server's own load",
    ]
    results = {
        "kills": [asdict(kill) | {"overhead": kill.overhead} for kill in kills],
        "load_average": os.getloadavg()[0],
    }
    return Report("failover", {"hosts": 5, "kills": count, "seed": seed}, results, goals, rows, notes)
