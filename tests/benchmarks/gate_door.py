"""What the leader's door costs a member that asks: the same llama-server behind the door, and without one.

The member is this process, and asks over streams as its gateway would. The leader, in a process of its own,
serves two kinds of them: one is answered by the door, the other relayed to llama-server byte by byte.
"""

import itertools
import json
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from leader.door.askers.accounts import Askers
from leader.door.askers.blame import EngineDeaths
from leader.door.askers.limits import Limits
from leader.door.orders import EngineFacts
from leader.door.slots.slot_table import SlotTable
from mesh.gateway.sse import EventSplitter
from mesh.gateway.upstream import Upstream
from mesh.net.session import Session
from mesh.net.stream_kinds import StreamKind
from mesh.net.streams import Handler, Streams
from mesh.serving.answer_counter import Answers
from mesh.serving.asking.ask_reporter import AskReporter
from mesh.serving.asking.door import Caller, Door
from mesh.serving.asking.order_run import Crowd
from mesh.serving.asking.slot_turns import SlotTurns
from mesh.wire.endpoint import Endpoint
from mesh.wire.identity import Identity, id_text
from tests.benchmarks.report import Goal, at_least, nearest_rank
from tests.lab.relay import relay

GOAL: Final = 0.98
CONTEXT: Final = 1024
WITH, WITHOUT = str(StreamKind.API), "relay"

Connect = Callable[[], Awaitable[trio.SocketStream]]


class BenchedEngine:
    """A llama-server with one slot, as the door needs it, and the door itself."""

    def __init__(self, connect: Connect) -> None:
        self.facts = EngineFacts("model.gguf", CONTEXT, 1)
        self.turns = SlotTurns(SlotTable(1), connect, None)
        self.crowd = Crowd()
        self.answers = Answers(lambda: None)
        self._connect = connect
        askers, deaths = Askers(Limits()), EngineDeaths()
        self._door = Door(lambda: self, askers, deaths, AskReporter(askers, deaths, str))

    async def connect(self) -> trio.SocketStream:
        return await self._connect()

    async def ended(self) -> None:
        await trio.sleep_forever()

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Hand out the slot, and have requests judged."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.turns.run)
            nursery.start_soon(self._door.run)
            task_status.started()

    def handlers(self) -> Mapping[str, Handler]:
        """What answers the leader's streams."""
        return {WITH: self._with_door, WITHOUT: self._without_door}

    async def _with_door(self, session: Session) -> None:
        assert session.peer is not None
        await self._door.serve(session.stream, Caller(id_text(session.peer), False), StreamKind.API)

    async def _without_door(self, session: Session) -> None:
        await relay(session.stream, await self._connect())


class Member:
    """Asks the leader, which is the first of the seeds; it is the second itself."""

    def __init__(self, seeds: Sequence[str], port: int) -> None:
        leader, own = (Identity.from_seed(bytes.fromhex(seed)) for seed in seeds[:2])
        self._leader = leader.id
        self._there = [Endpoint("127.0.0.1", port)]
        self._streams = Streams(own)
        self._streams.trust({leader.id: leader.public_key})

    async def answer(self, kind: str, tokens: int) -> list[float]:
        """Ask for a greedy answer on a new stream; return when each token came, in s after the request."""
        body = {"prompt": "Once upon", "n_predict": tokens, "temperature": 0, "ignore_eos": True}
        content = json.dumps(body | {"stream": True, "cache_prompt": False}).encode()
        headers = [(b"host", b"localhost"), (b"content-length", b"%d" % len(content))]
        session = await self._streams.open(self._leader, self._there, kind)
        try:
            upstream, events, came = Upstream(session.stream), EventSplitter(), list[float]()
            began = time.perf_counter()
            await upstream.send_head("POST", b"/completion", headers)
            await upstream.send_body(content)
            await upstream.end_request()
            assert (await upstream.receive_head()).status == 200
            while piece := await upstream.receive():
                came += [time.perf_counter() - began for _ in events.feed(piece)]
        finally:
            await session.aclose()
        return came[:tokens]


@dataclass
class Answered:
    """By one kind of stream, answer by answer."""

    speeds: list[float] = field(default_factory=list)
    """Tokens a second, after the first one."""
    firsts: list[float] = field(default_factory=list)
    """Milliseconds from the request to the first token."""
    gaps: list[float] = field(default_factory=list)
    """Milliseconds from each token to the next, of all answers."""

    def take(self, came: Sequence[float]) -> None:
        """Note when each token of an answer came."""
        self.firsts.append(came[0] * 1000)
        self.speeds.append((len(came) - 1) / (came[-1] - came[0]))
        self.gaps += [(after - before) * 1000 for before, after in itertools.pairwise(came)]

    @property
    def undisturbed(self) -> float:
        """What a token takes when nothing else wants the processor: the 10th percentile."""
        return nearest_rank(sorted(self.gaps), 0.1)


@dataclass
class DoorMeasured:
    """The door beside its absence, pair by pair."""

    door: Answered = field(default_factory=Answered)
    bare: Answered = field(default_factory=Answered)

    async def measure(self, member: Member, repeats: int, tokens: int) -> None:
        """Have answers by both, in turns; the first pair is to warm up."""
        for number in range(repeats + 1):
            order = [(WITH, self.door), (WITHOUT, self.bare)]
            for kind, answered in order if number % 2 else reversed(order):
                came = await member.answer(kind, tokens)
                if number:
                    answered.take(came)

    @property
    def speeds(self) -> list[float]:
        """With the door / without."""
        return [door / bare for door, bare in zip(self.door.speeds, self.bare.speeds, strict=True)]

    @property
    def firsts(self) -> list[float]:
        """Without the door / with it."""
        return [bare / door for door, bare in zip(self.door.firsts, self.bare.firsts, strict=True)]

    def goals(self) -> list[Goal]:
        """None of both may cost more than 2 %."""
        return [
            at_least(f"{what}, median of pairs", GOAL, round(statistics.median(ratios), 4), "")
            for what, ratios in (
                ("tokens a second, with the door / without", self.speeds),
                ("time to the first token, without the door / with it", self.firsts),
            )
        ]

    def columns(self) -> dict[str, list[float]]:
        """For the report's table."""
        return {
            "with 1/s": self.door.speeds,
            "without 1/s": self.bare.speeds,
            "with / without": self.speeds,
            "first, with ms": self.door.firsts,
            "first, without ms": self.bare.firsts,
            "first, without / with": self.firsts,
            "undisturbed ms, with": [self.door.undisturbed],
            "undisturbed ms, without": [self.bare.undisturbed],
        }
