"""The leader's door: nothing reaches llama-server but through it.

It answers each stream on which somebody asks: a member's gateway over the network, or this node's own over a
pair of sockets. `leader.door` decides what becomes of a request; here it is read, waits, is sent, answered.
"""

import json
import logging
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

import trio

from leader.door.askers.accounts import Askers, Ticket
from leader.door.askers.blame import EngineDeaths
from leader.door.orders import Order, OwnAnswer, Refused
from leader.door.own_answers import own_answer
from leader.door.slots.slot_content import TOKENS_PER_BEGINNING
from leader.door.slots.turns import TooManyWaiting
from mesh.gateway.connection import BadRequest, ClientGone, Connection, HttpExchange
from mesh.gateway.replies import refusal, reply, unavailable
from mesh.gateway.resuming.resume_request import RESUME_PATH, ResumeRequest
from mesh.gateway.upstream import ENGINE_DIED, NOT_SERVING, UpstreamLost
from mesh.net.stream_kinds import StreamKind
from mesh.net.wrapped_stream import WrappedStream
from mesh.runtime.clock import now
from mesh.serving.answer_counter import Answers
from mesh.serving.asking.ask_reporter import AskReporter
from mesh.serving.asking.bill import Bill
from mesh.serving.asking.engine_client import engine_client
from mesh.serving.asking.held_bodies import HeldBodies, NoRoom, Room
from mesh.serving.asking.judging import Judging
from mesh.serving.asking.order_run import OrderRun, ServedEngine
from mesh.serving.asking.resumption import ResumeRun
from mesh.serving.asking.slot_turns import SlotsGone

DEATH_SECONDS: Final = 3.0
"""Seconds until it is known how a llama-server ended that broke off."""
BUSY_SECONDS: Final = 2.0
"""Seconds after which a request is worth repeating that found the door full."""

_FULL: Final = Refused(
    503, "overloaded", "the leader holds as many requests as it may", retry_after=BUSY_SECONDS
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the id as text, and whether it is an owner."""

    id: str
    owner: bool

    @property
    def domain(self) -> str:
        """The trust domain: all owners are one, every other member is one of its own."""
        return "owners" if self.owner else self.id


class DoorEngine(ServedEngine, Protocol):
    """The llama-server behind the door."""

    @property
    def answers(self) -> Answers: ...

    async def ended(self) -> None:
        """Wait until it has ended, and is known to have died of a request or not."""
        ...


class Door:
    """Serves streams of the kinds ``api`` and ``resume``; ``engine`` is what takes requests now, or None."""

    def __init__(
        self,
        engine: Callable[[], DoorEngine | None],
        askers: Askers,
        deaths: EngineDeaths,
        reporter: AskReporter,
        judging: Judging | None = None,
    ) -> None:
        self._engine = engine
        self._askers = askers
        self._deaths = deaths
        self._reporter = reporter
        self._judging = judging or Judging()
        self._bodies = HeldBodies()
        self._nursery: trio.Nursery | None = None

    async def run(self) -> None:
        """Own the streams of this node's own gateway, and what reads requests."""
        try:
            async with trio.open_nursery() as self._nursery:
                await trio.sleep_forever()
        finally:
            self._nursery = None
            await self._judging.aclose()

    def connect(self, caller: Caller, kind: StreamKind) -> trio.abc.Stream:
        """A stream on which this node's own gateway asks. Raises OSError while the door is closed."""
        if self._nursery is None:
            raise ConnectionRefusedError("the door is closed")
        near, far = (trio.SocketStream(trio.socket.from_stdlib_socket(end)) for end in socket.socketpair())
        self._nursery.start_soon(self.serve, far, caller, kind)
        return near

    async def serve(self, stream: trio.abc.Stream, caller: Caller, kind: StreamKind) -> None:
        """Answer what is asked on a stream, until either end closes it."""
        handle = partial(self._handle, caller=caller, resumes=kind is StreamKind.RESUME)
        await Connection(_HalfCloseable(stream), handle, "").run()

    async def _handle(self, exchange: HttpExchange, caller: Caller, resumes: bool) -> None:
        engine = self._engine()
        if engine is None:
            await _not_serving(exchange)
            return
        ticket = self._askers.begin(now(), caller.id, owner=caller.owner)
        if isinstance(ticket, Refused):
            await self._refuse(exchange, caller, ticket)
            return
        try:
            with self._bodies.room(caller.id) as room:
                one = _Asking(exchange, caller, ticket, engine, room)
                content = await _read(exchange, room, ticket)
                with engine.answers.giving():
                    await (self._resume if resumes else self._answer)(one, content)
        except (NoRoom, TooManyWaiting):
            ticket.refused()
            await self._refuse(exchange, caller, _FULL)
        except BadRequest as error:
            await exchange.reply(error.reply)
        finally:
            ticket.sent(exchange.sent)
            ticket.end(now())
            engine.turns.deal()
            engine.crowd.deal()

    async def _answer(self, one: "_Asking", content: bytes) -> None:
        request = one.exchange.request
        facts, member = one.engine.facts, one.caller.id
        verdict = await self._judging.judge(member, request.method, request.target, content, facts)
        match verdict:
            case Refused():
                await one.refuse(verdict)
            case OwnAnswer(what):
                limits = self._askers.limits_of(owner=one.caller.owner)
                own = json.dumps(own_answer(what, facts, limits)).encode()
                await one.exchange.reply(reply(200, "application/json", own))
            case Order():
                one.room.becomes(sum(map(len, verdict.bodies)))
                bill = self._bill(one, verdict)
                run = OrderRun(verdict, one.exchange, one.engine, one.caller.domain, bill, one.room)
                await self._perform(one, run.run, bill)

    async def _resume(self, one: "_Asking", content: bytes) -> None:
        """Take up an answer that another leader began, on a slot that is held for it."""
        if (one.exchange.request.method, one.exchange.request.path) != ("POST", RESUME_PATH):
            await one.refuse(Refused(404, "not_found", f"here answers are taken up, by POST {RESUME_PATH}"))
            return
        facts = one.engine.facts
        try:
            asked, question = await self._judging.read_resume_request(one.caller.id, content)
        except ValueError as error:
            await one.refuse(Refused(400, "bad_request", str(error)))
            return
        target = asked.path.encode()
        verdict = await self._judging.judge(one.caller.id, "POST", target, question, facts)
        if not isinstance(verdict, Order) or len(verdict.bodies) != 1:
            several = Refused(400, "bad_request", "several answers are not taken up")
            await one.refuse(verdict if isinstance(verdict, Refused) else several)
            return
        bill = self._bill(one, verdict)
        built = asked.judged(json.loads(verdict.bodies[0]))
        take_up = partial(_take_up, one, built, verdict, bill)
        await self._perform(one, take_up, bill)

    def _bill(self, one: "_Asking", order: Order) -> Bill:
        return Bill(one.ticket, self._deaths, one.caller.id, order.digest, owner=one.caller.owner)

    async def _perform(self, one: "_Asking", perform: Callable[[], Awaitable[None]], bill: Bill) -> None:
        """Perform an order, unless llama-server has died of it; say so where it dies now."""
        if refused := bill.refusal():
            one.ticket.refused()
            await self._refuse(one.exchange, one.caller, refused)
            return
        with bill.kept():
            try:
                await perform()
                bill.whole = True
            except (UpstreamLost, SlotsGone) as error:
                log.info("an answer broke off: %s", error)
                with trio.move_on_after(DEATH_SECONDS):
                    await one.engine.ended()
                    bill.whole = True
                await _lost(one.exchange)

    async def _refuse(self, exchange: HttpExchange, caller: Caller, refused: Refused) -> None:
        self._reporter.refused(caller.id, refused)
        if exchange.status is None:
            await exchange.reply(refusal(refused, exchange.request.shape))
        else:
            exchange.abort()


@dataclass(frozen=True, slots=True)
class _Asking:
    """One request on its way."""

    exchange: HttpExchange
    caller: Caller
    ticket: Ticket
    engine: DoorEngine
    room: Room

    async def refuse(self, refused: Refused) -> None:
        """Refuse it for what it asks."""
        self.ticket.refused()
        await self.exchange.reply(refusal(refused))


class _HalfCloseable(WrappedStream, trio.abc.HalfCloseableStream):
    """A stream whose end HTTP tells, not the transport: TLS has no half-closed state."""

    async def send_eof(self) -> None:
        await trio.lowlevel.checkpoint()


async def _take_up(one: _Asking, asked: ResumeRequest, order: Order, bill: Bill) -> None:
    async with (
        one.engine.turns.turn(
            one.caller.domain,
            order.beginnings[0],
            holds=True,
            urgent=bill.goes_first,
            may_start=bill.may_start,
            on_start=bill.starts,
        ) as turn,
        engine_client(bill.noting(turn.connect)) as client,
    ):
        run = ResumeRun(asked, one.exchange, client)
        try:
            await run.run(turn.slot, turn.reuse)
        except (trio.Cancelled, ClientGone):
            bill.tokens(TOKENS_PER_BEGINNING * len(order.beginnings[0]), run.events, 0)
            raise
        if run.events:  # else it was refused, perhaps while llama-server still computes
            counts = run.reader.counts()
            bill.tokens(counts.prompt, counts.generated, counts.cached)
            held = counts.prompt + counts.generated
            turn.used(held or None, counts.cached, counts.prefilled, counts.prefill_seconds)


async def _read(exchange: HttpExchange, room: Room, ticket: Ticket) -> bytes:
    """Read a request's body. Raises `NoRoom`, `BadRequest` and `ClientGone`."""
    content = bytearray()
    while piece := await exchange.receive_body():
        room.take(len(piece))
        ticket.received(len(piece))
        content += piece
    return bytes(content)


async def _not_serving(exchange: HttpExchange) -> None:
    """Say that no llama-server takes requests now, so that nobody takes it for an answer."""
    shape = exchange.request.shape
    said = unavailable("not_ready", "the leader's llama-server is not ready", BUSY_SECONDS, shape)
    await exchange.reply(said._replace(headers=[*said.headers, (NOT_SERVING, b"1")]))


async def _lost(exchange: HttpExchange) -> None:
    """Let the gateway notice that the answer broke off: it decides whether it can go on."""
    if exchange.status is None:
        message, shape = "llama-server ended during this request", exchange.request.shape
        said = unavailable("engine_died", message, BUSY_SECONDS, shape)
        await exchange.reply(said._replace(headers=[*said.headers, (ENGINE_DIED, b"1")]))
    else:
        exchange.abort()
