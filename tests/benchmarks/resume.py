"""How long it takes until an answer goes on exactly, where the leader is far from the gateway.

A real llama-server, and a gateway in this process. All bytes between them arrive late, as over a network. The
stream breaks in the middle of an answer, and the leader takes the answer up: it holds nothing of it. What the
client gets is compared with the same answer undisturbed.
"""

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import trio
import trio.testing

from mesh.engine.detect import detect
from mesh.engine.install.build import ensure
from mesh.engine.install.cache import cache_dir
from mesh.engine.types import Engine
from mesh.gateway.entry.entrances import Entrance
from mesh.gateway.http_server import serve_gateway
from mesh.net.stream_kinds import StreamKind
from mesh.tools.speaking_model import speaking_model
from tests.benchmarks.report import Report, Row, Summary, at_least, at_most
from tests.mesh.gateway.mortal import Mortal

HELP = "seconds until an answer goes on exactly with a leader far away, beside the time that its tokens took"
TOKENS = 300
REST = 40
"""Tokens after the cut."""
ROUND_TRIP = 50
REPEATS = 5
GOAL = 1.5
PATIENCE = 300.0


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tokens", type=int, default=TOKENS, help="of the answer when it is cut")
    parser.add_argument("--round-trip", type=int, default=ROUND_TRIP, help="to the leader and back, in ms")
    parser.add_argument("--repeats", type=int, default=REPEATS, help="answers that are cut")
    parser.add_argument("--model", type=Path, help="a GGUF file; else SmolLM2, fetched once")


class FarLeader(Mortal):
    """A leader that is so many seconds away. A death cuts the stream and leaves llama-server alone."""

    def __init__(self, engine: Engine, model: Path, folder: Path, seconds: float, context: int) -> None:
        super().__init__(engine, model, folder, "-c", str(context))
        self.seconds = seconds
        self.cut_at = 0.0

    def die(self) -> None:
        self.cut_at = trio.current_time()

    async def open_leader(self, kind: StreamKind = StreamKind.API) -> trio.abc.Stream:
        leader = await super().open_leader(kind)
        near, far = trio.testing.memory_stream_pair()
        assert self.nursery is not None
        self.nursery.start_soon(late, far, leader, self.seconds)
        await trio.sleep(2 * self.seconds)  # to open a stream takes a round trip
        return near


async def late(one: trio.abc.Stream, other: trio.abc.Stream, seconds: float) -> None:
    """Carry bytes both ways; each arrives so many seconds after it was sent. The end of one way ends both."""
    async with one, other, trio.open_nursery() as nursery:

        async def carry(source: trio.abc.Stream, sink: trio.abc.Stream) -> None:
            sender, receiver = trio.open_memory_channel[tuple[float, bytes]](1000)

            async def deliver() -> None:
                async for at, data in receiver:
                    await trio.sleep_until(at)
                    await sink.send_all(data)

            try:
                async with trio.open_nursery() as way, sender:
                    way.start_soon(deliver)
                    while data := bytes(await source.receive_some()):
                        await sender.send((trio.current_time() + seconds, data))
                    await sender.aclose()
            except* (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            nursery.cancel_scope.cancel()

        nursery.start_soon(carry, one, other)
        nursery.start_soon(carry, other, one)


@asynccontextmanager
async def far_gateway(leader: FarLeader) -> AsyncIterator[httpx.AsyncClient]:
    """A gateway before that leader, and a client of it."""

    async def serve(*, task_status: trio.TaskStatus[list[tuple[str, int]]]) -> None:
        await serve_gateway([Entrance("127.0.0.1", 0)], leader, task_status=task_status)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(leader.run)
        [(_, port)] = await nursery.start(serve)
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=PATIENCE) as client:
            yield client
        nursery.cancel_scope.cancel()


@dataclass
class Measured:
    """``decoding``: seconds from the first token before the cut to the last; ``pauses``: until one more."""

    decoding: list[float] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    alike: list[bool] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        return [pause / decoding for pause, decoding in zip(self.pauses, self.decoding, strict=True)]


async def answer(client: httpx.AsyncClient, tokens: int) -> tuple[list[Any], list[float]]:
    """A greedy answer's ids and texts, and when each came."""
    body = {"prompt": "Once upon a time", "n_predict": tokens, "temperature": 0, "ignore_eos": True}
    said, came = [], []
    headers = {"x-mesh-resume": "exact"}
    asked = client.stream(
        "POST", "/completion", json=body | {"stream": True, "cache_prompt": False}, headers=headers
    )
    async with asked as response:
        response.raise_for_status()
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                event = json.loads(line.removeprefix("data: "))
                said.append((event.get("tokens"), event.get("content")))
                came.append(trio.current_time())
    return said, came


async def measure(
    engine: Engine, model: Path, folder: Path, options: argparse.Namespace, measured: Measured
) -> None:
    """Have the answer undisturbed and cut, in turns."""
    tokens = options.tokens
    leader = FarLeader(engine, model, folder, options.round_trip / 2000, tokens + REST + 100)
    async with far_gateway(leader) as client:
        await answer(client, 8)
        for _ in range(options.repeats):
            wanted, came = await answer(client, tokens + REST)
            leader.deaths = [tokens]
            said, again = await answer(client, tokens + REST)
            measured.decoding.append(came[tokens - 1] - came[0])
            measured.pauses.append(again[tokens] - leader.cut_at)
            measured.alike.append(said == wanted)


def run(options: argparse.Namespace) -> Report:
    """Measure; see the module."""
    engine = trio.run(ensure, detect(), cache_dir(), lambda progress: None)
    measured, model = Measured(), options.model or trio.run(speaking_model)
    with tempfile.TemporaryDirectory() as folder:
        trio.run(measure, engine, model, Path(folder), options, measured)
    return report(options, model, measured)


def report(options: argparse.Namespace, model: Path, measured: Measured) -> Report:
    """Judge the pauses by the time that the tokens took at first."""
    columns = {
        "decoding s": measured.decoding,
        "pause s": measured.pauses,
        "pause / decoding": measured.ratios,
    }
    cells = {column: summary for column, some in columns.items() if (summary := Summary.of(some))}
    ratio = round(statistics.median(measured.ratios), 4) if measured.pauses else None
    alike = sum(measured.alike) / len(measured.alike) if measured.alike else None
    goals = [
        at_most("pause / decoding of the same tokens, median", GOAL, ratio, ""),
        at_least("share of answers that are as if undisturbed", 1.0, alike, ""),
    ]
    parameters = {
        "model": model.name,
        "tokens": options.tokens,
        "round trip": f"{options.round_trip} ms",
        "repeats": options.repeats,
        "cores": os.cpu_count(),
    }
    results = {"decoding": measured.decoding, "pauses": measured.pauses, "alike": measured.alike}
    notes = ["pause: from the cut at the leader until the next token is at the client, with two round trips"]
    return Report("resume", parameters, results, goals, [Row("exact", "", cells)], notes)
