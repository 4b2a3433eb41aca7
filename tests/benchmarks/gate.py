"""The path from llama-server through tunnels and gates to two rpc-servers, beside a hand-wired one.

Both split the same model in the same way on loopback, and answer in turns, so that what else the machine does
falls on both. Each machine of the gated path is a process of its own, as in a pool.
"""

import argparse
import itertools
import json
import math
import os
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
import trio

from mesh.engine.detect import detect
from mesh.engine.install.build import ensure
from mesh.engine.install.cache import cache_dir
from mesh.engine.process.child import Process
from mesh.engine.process.rpc_port import free_port, wait_for_listener
from mesh.engine.types import Engine
from mesh.tools.generator import ModelSpec, generate, spec_of_size
from mesh.wire.errors import MeshError
from tests.benchmarks.gate_door import DoorMeasured, Member
from tests.benchmarks.gate_node import LAYERS, llama_arguments
from tests.benchmarks.gate_ways import WAYS
from tests.benchmarks.report import Report, Row, Summary, at_least, nearest_rank

HELP = "tokens a second and load time through tunnels and gates, beside a hand-wired llama-server"
REPEATS = 30
TOKENS = 16
WORKERS = 2
MODEL_BYTES = 5 << 28  # 1.25 GiB
GOAL = 0.97
LOAD_SECONDS = 180.0
OWN = "splice"
DIRECT = "direct"
DOOR = "door"
"""Not a way: what the leader's door costs, over the program's own way."""
MEASURES = (*WAYS, DOOR)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repeats", type=int, default=REPEATS, help="pairs of answers for each way")
    parser.add_argument("--ways", default=",".join(MEASURES), help=f"of {', '.join(MEASURES)}")
    parser.add_argument("--nice", type=int, default=0, help="of all that is measured; less than 0 needs root")
    parser.add_argument("--size", type=int, default=MODEL_BYTES, help="bytes of the model")


@dataclass
class Measured:
    """One way beside the hand-wired path, pair by pair."""

    direct: list[float] = field(default_factory=list)
    gated: list[float] = field(default_factory=list)
    load_direct: float = 0.0
    load_gated: float = 0.0
    load_average: float = 0.0
    gaps: dict[str, list[float]] = field(default_factory=lambda: {"direct": [], "gated": []})
    """Milliseconds from each token to the next."""

    def undisturbed(self, path: str) -> float:
        """What a token takes when nothing else wants the processor: the 10th percentile, in ms."""
        return nearest_rank(sorted(self.gaps[path]), 0.1) if self.gaps[path] else math.nan

    @property
    def ratios(self) -> list[float]:
        return [gated / direct for gated, direct in zip(self.gated, self.direct, strict=True)]


def run(options: argparse.Namespace) -> Report:
    """Measure and print; see the module."""
    ways = options.ways.split(",")
    if unknown := set(ways) - set(MEASURES):
        raise MeshError(f"no such way: {', '.join(sorted(unknown))}", f"there are {', '.join(MEASURES)}")
    engine = trio.run(ensure, detect(), cache_dir(), lambda progress: None)
    model = _model(options.size)
    os.nice(options.nice)
    measured: dict[str, Measured] = {}
    for way in ways:
        if way == DOOR:
            continue
        measured[way] = Measured()
        trio.run(_measure, way, engine, model, options.repeats, measured[way])
        one = measured[way]
        ratio = statistics.median(one.ratios)
        undisturbed = one.undisturbed(DIRECT) / one.undisturbed("gated")
        print(f"{way}: {ratio:.3f} of the hand-wired speed, undisturbed {undisturbed:.3f}", file=sys.stderr)
    door = trio.run(_measure_door, engine, model, options.repeats) if DOOR in ways else None
    return _report(options, model, measured, door)


def _model(size: int) -> Path:
    path = cache_dir() / "benchmarks" / f"gate-{size}.gguf"
    if not path.exists():
        generate(path, spec_of_size(size, ModelSpec(layers=LAYERS, kind="Q8_0")))
    return path


async def _measure(way: str, engine: Engine, model: Path, repeats: int, measured: Measured) -> None:
    async with AsyncExitStack() as stack:
        rpc = [await stack.enter_async_context(_rpc_server(engine)) for _ in range(WORKERS)]
        direct = await stack.enter_async_context(_hand_wired(engine, model, rpc))
        gated = await stack.enter_async_context(_gated(engine, model, way))
        measured.load_direct, measured.load_gated = direct.load_seconds, gated.load_seconds
        for server in (direct, gated):
            await server.tokens_per_second(TOKENS // 4, [])
        for number in range(repeats):
            order = [
                (direct, measured.direct, measured.gaps["direct"]),
                (gated, measured.gated, measured.gaps["gated"]),
            ]
            for server, samples, gaps in order if number % 2 == 0 else reversed(order):
                samples.append(await server.tokens_per_second(TOKENS, gaps))
        measured.load_average = os.getloadavg()[0]


async def _measure_door(engine: Engine, model: Path, repeats: int) -> DoorMeasured:
    measured = DoorMeasured()
    async with _pool(engine, model, OWN) as leader, _loaded(leader["url"]):
        await measured.measure(Member(leader["seeds"], leader["port"]), repeats, TOKENS)
    return measured


@asynccontextmanager
async def _running(argv: Sequence[str]) -> AsyncIterator[Process]:
    process = Process(
        argv, environment={**os.environ, "OMP_WAIT_POLICY": "passive", "GGML_NO_BACKTRACE": "1"}
    )

    async def run() -> None:
        code = await process.run(lambda line: None)
        raise MeshError(f"{argv[0]} ended with status {code}")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        yield process
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def _rpc_server(engine: Engine) -> AsyncIterator[str]:
    """One as a person would start it, with the threads that ours has."""
    port, threads = free_port(), psutil.cpu_count(logical=False) or 1
    argv = [str(engine.rpc_server), "-H", "127.0.0.1", "-p", str(port), "-t", str(threads)]
    async with _running(argv):
        with trio.fail_after(LOAD_SECONDS):
            await wait_for_listener(partial(trio.open_tcp_stream, "127.0.0.1", port))
        yield f"127.0.0.1:{port}"


@asynccontextmanager
async def _gated(engine: Engine, model: Path, way: str) -> AsyncIterator["ResumableCompletion"]:
    async with _pool(engine, model, way) as leader, _loaded(leader["url"]) as server:
        yield server


@asynccontextmanager
async def _pool(engine: Engine, model: Path, way: str) -> AsyncIterator[dict[str, Any]]:
    """Two workers, and a leader with tunnels to them and a llama-server, all engines as in a pool."""
    config: dict[str, Any] = {
        "way": way,
        "seeds": [secrets.token_hex(32) for _ in range(WORKERS + 1)],
        "rpc_server": str(engine.rpc_server),
        "llama_server": str(engine.llama_server),
        "model": str(model),
    }
    async with AsyncExitStack() as stack:
        ports = [
            (await stack.enter_async_context(_node({**config, "number": number + 1})))
            for number in range(WORKERS)
        ]
        leader = await stack.enter_async_context(_node({**config, "number": 0, "ports": ports}))
        yield {**config, **leader}


@asynccontextmanager
async def _node(config: dict[str, Any]) -> AsyncIterator[Any]:
    argv = [sys.executable, "-m", "tests.benchmarks.gate_node"]
    process = await trio.lowlevel.open_process(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        await process.stdin.send_all(json.dumps(config).encode() + b"\n")
        said = b""
        with trio.fail_after(30):
            while not said.endswith(b"\n"):
                data = await process.stdout.receive_some()
                if not data:
                    raise MeshError("a node of the benchmark ended", "see what it printed")
                said += data
        yield json.loads(said)
    finally:
        with trio.CancelScope(shield=True):
            await process.stdin.aclose()
            with trio.move_on_after(10):
                await process.wait()
            process.kill()
            await process.wait()
            await process.stdout.aclose()


@dataclass
class ResumableCompletion:
    """A llama-server that has loaded its model."""

    client: httpx.AsyncClient
    load_seconds: float

    async def tokens_per_second(self, tokens: int, gaps: list[float]) -> float:
        """Of one greedy answer, without its prompt, as llama-server counts; adds the ms between tokens."""
        body = {"prompt": "Once upon", "n_predict": tokens, "temperature": 0, "cache_prompt": False}
        event: dict[str, Any] = {}
        came: list[float] = []
        async with self.client.stream("POST", "/completion", json=body | {"stream": True}) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                if line.startswith("data: "):
                    came.append(time.perf_counter())
                    event = json.loads(line.removeprefix("data: "))
        gaps += [(after - before) * 1000 for before, after in itertools.pairwise(came[:tokens])]
        return float(event["timings"]["predicted_per_second"])


@asynccontextmanager
async def _hand_wired(
    engine: Engine, model: Path, endpoints: Sequence[str]
) -> AsyncIterator[ResumableCompletion]:
    port = free_port()
    argv = [str(engine.llama_server), *llama_arguments(str(model), "127.0.0.1", port, endpoints)]
    async with _running(argv), _loaded(f"http://127.0.0.1:{port}") as server:
        yield server


@asynccontextmanager
async def _loaded(url: str) -> AsyncIterator[ResumableCompletion]:
    """A llama-server that was just started, once it has loaded its model."""
    # A kept connection may be closed by the server at the very moment it is used again.
    limits = httpx.Limits(max_keepalive_connections=0)
    began = time.perf_counter()
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=120, limits=limits) as client:
        with trio.fail_after(LOAD_SECONDS):
            while not await _is_ready(client):  # noqa: ASYNC110 - it tells nobody
                await trio.sleep(0.02)
        yield ResumableCompletion(client, time.perf_counter() - began)


async def _is_ready(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/health")).status_code == 200
    except httpx.TransportError:
        return False


def _columns(one: Measured) -> dict[str, list[float]]:
    return {
        "hand-wired 1/s": one.direct,
        "gated 1/s": one.gated,
        "gated / hand-wired": one.ratios,
        "undisturbed ms, hand-wired": [one.undisturbed("direct")],
        "undisturbed ms, gated": [one.undisturbed("gated")],
        "load, hand-wired s": [one.load_direct],
        "load, gated s": [one.load_gated],
    }


def _report(
    options: argparse.Namespace,
    model: Path,
    measured: dict[str, Measured],
    door: DoorMeasured | None = None,
) -> Report:
    subjects = {way: _columns(one) for way, one in measured.items()}
    if door is not None:
        subjects[DOOR] = door.columns()
    rows = [
        Row(way, "", {column: summary for column, some in columns.items() if (summary := Summary.of(some))})
        for way, columns in subjects.items()
    ]
    own = measured.get(OWN)
    ratio = round(statistics.median(own.ratios), 4) if own is not None and own.gated else None
    goals = [at_least("tokens a second, whole path / hand-wired, median of pairs", GOAL, ratio, "")]
    goals += [] if door is None else door.goals()
    parameters = {
        "model": f"{model.stat().st_size / 2**30:.2f} GiB",
        "workers": WORKERS,
        "repeats": options.repeats,
        "tokens": TOKENS,
        "cores": os.cpu_count(),
        "nice": os.nice(0),
    }
    notes = [
        "door: a member's answers through the leader's door, and relayed to llama-server without it",
        "splice: ours where both ends trust the link; copy, process: without splice, or in a process",
        "tls: ours elsewhere, in threads (no kernel TLS here); loop, tls-loop: by trio's streams",
        "undisturbed: the 10th percentile of the time from token to token, which busy machines leave alone",
        f"load average at the end: {os.getloadavg()[0]:.1f}; both paths answer in turns",
    ]
    results: dict[str, Any] = {
        way: {"ratios": one.ratios, "direct": one.direct, "gated": one.gated, "load": one.load_average,
              "undisturbed_ms": {path: one.undisturbed(path) for path in one.gaps},
              "load_seconds": {DIRECT: one.load_direct, "gated": one.load_gated}}
        for way, one in measured.items()
    }  # fmt: skip
    if door is not None:
        results[DOOR] = door.columns()
    return Report("gate", parameters, results, goals, rows, notes)
