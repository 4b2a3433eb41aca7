"""Performs one order: the door's requests to llama-server, and the answer that its client gets."""

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Final, Protocol

import trio

from leader.door.dialects.error_shapes import error_body, error_event, told_error
from leader.door.orders import EngineFacts, Order, SlotUse
from leader.door.slots.slot_content import TOKENS_PER_BEGINNING
from leader.door.writers.answer_writers import AnswerWriter, writer_for
from leader.door.writers.proper_ends import ends_properly
from mesh.gateway.connection import ClientGone, HttpExchange
from mesh.gateway.replies import Headers, json_reply
from mesh.gateway.resuming.dialects import parse_event
from mesh.gateway.sse import EventSplitter
from mesh.gateway.upstream import Head, UpstreamLost
from mesh.serving.asking.bill import Bill
from mesh.serving.asking.engine_client import CountsReader, EngineClient, engine_client
from mesh.serving.asking.engine_use import EngineUse
from mesh.serving.asking.fair_gate import FairGate
from mesh.serving.asking.held_bodies import Room
from mesh.serving.asking.slot_turns import SlotTurn, SlotTurns

LARGE: Final = 512 << 10
"""Bytes of a request whose text costs llama-server so much memory that few are read at a time."""
MAX_LARGE: Final = 2
"""Large requests that llama-server reads at a time: some hundred bytes of memory for each of text."""
LARGE_SECONDS: Final = 30.0
"""Seconds after which a large request is read, though its answer may begin much later."""
MAX_SLOTLESS: Final = 4
"""Requests at a time that take no slot, such as tokenizing: each has a thread of llama-server's."""
MAX_CHOSEN: Final = 16
"""Requests at a time whose slots llama-server chooses."""
MAX_WHOLE: Final = 4 << 20
"""Bytes of one order's answers that the door reads whole, to tell them itself."""
MAX_SLOTLESS_ANSWER: Final = 64 << 20
"""Bytes of an answer without a slot: it is read whole, so that no slow client keeps others from theirs."""

log = logging.getLogger(__name__)


class ServedEngine(Protocol):
    """A llama-server that takes requests, as the door sees it."""

    @property
    def facts(self) -> EngineFacts: ...

    @property
    def turns(self) -> SlotTurns: ...

    @property
    def crowd(self) -> "Crowd": ...

    async def connect(self) -> trio.abc.Stream: ...


class EngineRefused(Exception):
    """llama-server answered one of several requests with an error."""

    def __init__(self, told: tuple[int, str, str]) -> None:
        """``told`` is its status, code and message."""
        super().__init__(told[2])
        self.told = told


class OrderRun:
    """One order on its way, whose answers take ``room`` where the door reads them whole.

    `run` gives the whole answer. Raises `ClientGone`, `UpstreamLost`, `SlotsGone`, `TooManyWaiting` and
    `NoRoom`.
    """

    def __init__(
        self, order: Order, exchange: HttpExchange, engine: ServedEngine, domain: str, bill: Bill, room: Room
    ) -> None:
        self._order = order
        self._exchange = exchange
        self._engine = engine
        self._domain = domain
        self._bill = bill
        self._room = room
        self._read = 0
        self._queueing = trio.Lock()
        self._telling = trio.Lock()

    async def run(self) -> None:
        """Ask llama-server, and answer."""
        writer = writer_for(self._order)
        try:
            if writer is None:
                await self._pass_on()
            elif self._order.streaming:
                await self._write_events(writer)
            else:
                await self._write_whole(writer)
        except EngineRefused as error:
            await self._refuse(error)

    # --- one request to llama-server

    @asynccontextmanager
    async def _asked(self, index: int) -> AsyncIterator["Answer"]:
        """Ask for one answer, in a slot if it takes one."""
        order = self._order
        body = order.bodies[index] if order.bodies else b""
        match order.slot_use:
            case SlotUse.PICKED:
                async with AsyncExitStack() as stack:
                    async with self._queueing:  # one place in the queue, however many answers: it is bounded
                        turn = await stack.enter_async_context(self._turn(order.beginnings[index]))
                    prompt = TOKENS_PER_BEGINNING * len(order.beginnings[index])
                    sent = self._sent(turn, with_slot(body, turn.slot, turn.reuse), prompt)
                    answer = await stack.enter_async_context(sent)
                    if answer.head.status == 200:
                        turn.began()
                    answer.turn = turn
                    yield answer
            case SlotUse.ENGINES:
                async with (
                    self._engine.crowd.chosen.place(self._domain, self._bill.may_start, self._bill.starts),
                    self._engine.turns.engine_choice() as use,
                    self._sent(use, body) as answer,
                ):
                    yield answer
                    use.answered()
            case SlotUse.NONE:
                async with (
                    self._engine.crowd.slotless.place(self._domain, on_start=self._bill.starts),
                    self._engine.turns.without_slot() as use,
                    self._sent(use, body) as answer,
                ):
                    yield answer
                    use.answered()

    def _turn(self, beginnings: tuple[int, ...]) -> AbstractAsyncContextManager[SlotTurn]:
        bill = self._bill
        return self._engine.turns.turn(
            self._domain,
            beginnings,
            urgent=bill.goes_first,
            may_start=bill.may_start,
            on_start=bill.starts,
        )

    @asynccontextmanager
    async def _sent(self, use: EngineUse, body: bytes, prompt: int = 0) -> AsyncIterator["Answer"]:
        """Have the request's answer, whose prompt has about so many tokens."""
        async with engine_client(self._bill.noting(use.connect)) as client:
            answer = Answer(client, self._bill)
            try:
                answer.head = await self._head(client, use, body)
                yield answer
            except (trio.Cancelled, ClientGone):
                answer.is_given_up(prompt)
                raise

    async def _head(self, client: EngineClient, use: EngineUse, body: bytes) -> Head:
        """Send a request and wait for its answer's head, a large one when few others are read.

        Where its client leaves, llama-server reads on to the end all the same.
        """
        method, path = self._order.method, self._order.path
        if len(body) < LARGE:
            return await client.send(method, path, body)
        async with self._engine.crowd.large.place(self._domain):
            until = trio.current_time() + LARGE_SECONDS
            try:
                await client.send_request(method, path, body)
                with trio.CancelScope(deadline=until):
                    return await client.head()
            except trio.Cancelled:
                with trio.CancelScope(deadline=until, shield=True):
                    await client.aclose()
                    use.end()
                    await use.over.wait()
                raise
        return await client.head()

    # --- an answer as llama-server gives it

    async def _pass_on(self) -> None:
        if self._order.slot_use is SlotUse.NONE:
            await self._pass_on_whole()
            return
        async with self._asked(0) as answer:
            await self._exchange.start(answer.head.status, [*_told(answer.head), *self._own_headers()])
            while piece := await answer.receive():
                await self._exchange.send(piece)
            answer.is_whole()

    async def _pass_on_whole(self) -> None:
        async with self._asked(0) as answer:
            content = await self._rest(answer, MAX_SLOTLESS_ANSWER)
            answer.is_whole()
        await self._exchange.start(answer.head.status, [*_told(answer.head), *self._own_headers()])
        await self._exchange.send(content)

    def _own_headers(self) -> Headers:
        dropped = ", ".join(self._order.dropped)
        return [(b"x-mesh-dropped", dropped.encode("ascii", "replace"))] if dropped else []

    # --- an answer that the door writes

    async def _write_whole(self, writer: AnswerWriter) -> None:
        answers: dict[int, Any] = {}

        async def ask(index: int) -> None:
            async with self._asked(index) as answer:
                answers[index] = _read_json(answer.head, await self._rest(answer))
                answer.is_whole()

        await self._each(ask)
        whole = writer.whole([answers[index] for index in range(len(self._order.bodies))])
        content = json.dumps(whole).encode()
        head = [(b"content-type", b"application/json; charset=utf-8")]
        length = [(b"content-length", b"%d" % len(content))]
        await self._exchange.start(200, [*head, *length, *self._own_headers()])
        await self._exchange.send(content)

    async def _write_events(self, writer: AnswerWriter) -> None:
        async def ask(index: int) -> None:
            async with self._asked(index) as answer:
                if answer.head.status != 200:
                    _read_json(answer.head, await self._rest(answer))
                await self._write_stream(writer, index, answer)

        await self._each(ask)
        await self._send_events(writer.end())

    async def _write_stream(self, writer: AnswerWriter, index: int, answer: "Answer") -> None:
        splitter, ended = EventSplitter(), False
        try:
            while piece := await answer.receive():
                for event in splitter.feed(piece):
                    value = parse_event(event)
                    ended = ended or ends_properly(self._order.path, event)
                    if value is not None:
                        await self._send_events(writer.event(index, value))
        except ValueError as error:
            raise UpstreamLost("llama-server's answer makes no sense") from error
        if not ended:
            raise UpstreamLost("llama-server stopped before the answer's end")
        answer.is_whole()
        await self._send_events(writer.ended(index))

    async def _rest(self, answer: "Answer", most: int | None = None) -> bytes:
        """Read a whole answer. Raises `UpstreamLost`, `NoRoom`, and `EngineRefused` at one too large."""
        content = bytearray()
        while piece := await answer.receive():
            self._read += len(piece)
            if self._read > (most or MAX_WHOLE):
                raise EngineRefused((400, "too_large", "so large an answer is told by a stream alone"))
            self._room.take(len(piece))
            content += piece
        return bytes(content)

    async def _send_events(self, data: bytes) -> None:
        async with self._telling:
            if self._exchange.status is None:
                head = [(b"content-type", b"text/event-stream"), *self._own_headers()]
                await self._exchange.start(200, head)
            if data:
                await self._exchange.send(data)

    async def _each(self, ask: Callable[[int], Awaitable[None]]) -> None:
        """Ask for all answers, each in its turn; the first that fails ends the others."""
        failed: list[Exception] = []

        async def one(index: int, scope: trio.CancelScope) -> None:
            try:
                await ask(index)
            except Exception as error:
                failed.append(error)
                async with self._telling:  # what another one has begun to tell is told to its end
                    scope.cancel()

        async with trio.open_nursery() as nursery:
            for index in range(len(self._order.bodies)):
                nursery.start_soon(one, index, nursery.cancel_scope)
        if failed:
            raise failed[0]

    async def _refuse(self, error: EngineRefused) -> None:
        shape, (status, code, message) = self._order.shape, error.told
        if self._exchange.status is None:
            await self._exchange.reply(
                json_reply(status, error_body(shape, status, code, message), self._own_headers())
            )
        else:
            await self._exchange.send(error_event(shape, code, message))


class Crowd:
    """How many requests of some kinds llama-server reads at a time; one for each llama-server."""

    def __init__(self) -> None:
        self.large = FairGate(MAX_LARGE)
        self.slotless = FairGate(MAX_SLOTLESS, kept=1)
        self.chosen = FairGate(MAX_CHOSEN)

    def deal(self) -> None:
        """Let in who could not start before; call it when that may have changed."""
        self.chosen.deal()


class Answer:
    """llama-server's answer to one request: its head, and what follows."""

    def __init__(self, client: EngineClient, bill: Bill) -> None:
        self.head = Head(0, [])
        self.turn: SlotTurn | None = None
        self._client = client
        self._bill = bill
        self._reader = CountsReader()
        self._events = 0
        self._is_whole = False

    async def receive(self) -> bytes:
        """Return the next piece, empty at the proper end. Raises `UpstreamLost`."""
        piece = await self._client.receive()
        self._events += piece.count(b"\n\n")
        self._reader.feed(piece)
        return piece

    def is_whole(self) -> None:
        """Note what the answer says that it cost, and that llama-server is done with it."""
        self._is_whole = True
        counts = self._reader.counts()
        self._bill.tokens(counts.prompt, counts.generated, counts.cached)
        if self.turn is not None and self.head.status == 200:
            held = counts.prompt + counts.generated
            self.turn.used(held or None, counts.cached, counts.prefilled, counts.prefill_seconds)

    def is_given_up(self, prompt: int) -> None:
        """Note what it has cost so far, where nobody waits for the numbers: about a token an event."""
        if not self._is_whole:
            self._bill.tokens(prompt, self._events, 0)


def with_slot(body: bytes, slot: int, reuse: bool) -> bytes:
    """The body of an order with the slot to take, and whether what is in it may be used."""
    fields = b'"id_slot":%d' % slot
    if not reuse:
        # Of two fields with one name the engine takes the later.
        fields += b',"cache_prompt":false'
    return body[:-1] + (b"," if len(body) > 2 else b"") + fields + b"}"


def _told(head: Head) -> Headers:
    """Of llama-server's headers, those that a client needs."""
    return [(name, value) for name, value in head.headers if name in (b"content-type", b"content-length")]


def _read_json(head: Head, content: bytes) -> Any:
    """Read a whole answer. Raises `EngineRefused` and `UpstreamLost`."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UpstreamLost("llama-server's answer is no JSON") from error
    if not isinstance(value, dict):
        raise UpstreamLost("llama-server's answer is not one")
    if head.status != 200:
        raise EngineRefused(told_error(value) or (head.status, "server_error", "it gave no reason"))
    return value
