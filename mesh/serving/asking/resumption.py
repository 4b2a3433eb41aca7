"""Takes up an answer at the leader: llama-server is asked right beside it, on a slot held for that answer."""

import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, Protocol

import trio

from mesh.gateway.completions.commenting import while_commenting
from mesh.gateway.completions.taking_up import CANNOT_CONTINUE, LLAMA_REFUSED, is_event_stream
from mesh.gateway.connection import HttpExchange
from mesh.gateway.leaders import RequestRefused
from mesh.gateway.replies import error_event, error_reply
from mesh.gateway.resuming.continuation import CannotContinue, ContinuationRequest, HeldSlot, continuation
from mesh.gateway.resuming.pace import EXACT_LIMIT, Pace
from mesh.gateway.resuming.resume_request import ResumeRequest
from mesh.gateway.resuming.taken_up import taken_up_event
from mesh.gateway.upstream import Head
from mesh.serving.asking.engine_client import CountsReader

Ask = Callable[[str, dict[str, Any]], Awaitable[Any]]
"""Asks llama-server, given path and body; returns its JSON. Raises `RequestRefused`, and `UpstreamLost`."""

TAKE_UP_LIMIT: Final = 3600.0
"""Seconds until llama-server is where the answer broke off: small machines need long for a long prompt."""
COMMENT_EVERY: Final = 0.5
"""Seconds between two comments to a gateway that waits: less than it grants a leader that it doubts."""
COMMENT: Final = b": taking up the answer\n\n"


class EngineConnection(Protocol):
    """A connection to llama-server, for one exchange after the other."""

    async def send(self, method: str, path: str, body: bytes) -> Head:
        """Send a request; return the answer's head. Raises `UpstreamLost`."""
        ...

    async def receive(self) -> bytes:
        """Return the next piece of the answer, empty at its proper end. Raises `UpstreamLost`."""
        ...

    async def rest(self) -> bytes:
        """Read what is left of an answer. Raises `UpstreamLost`."""
        ...

    async def ask(self, path: str, body: dict[str, Any]) -> Any:
        """Ask for a whole answer in JSON. Raises `RequestRefused` and `UpstreamLost`."""
        ...


async def resume(request: ResumeRequest, ask: Ask, slot: int, reuse: bool) -> ContinuationRequest:
    """Bring llama-server to where the answer broke off; return the request whose stream is the rest.

    ``request`` has the body that the door has built. The ``slot`` is held until the rest has come; ``reuse``:
    what is in it may be used. Raises `CannotContinue`, and what ``ask`` raises.
    """
    pace = Pace() if request.paced else Pace(EXACT_LIMIT)
    script = continuation(
        request,
        HeldSlot(slot, reuse),
        lambda done, total: pace.is_too_slow(trio.current_time(), done, total),
    )
    answer: Any = None
    with trio.move_on_after(TAKE_UP_LIMIT):
        while True:
            try:
                question = script.send(answer)
            except StopIteration as end:
                rest: ContinuationRequest = end.value
                return rest
            except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
                raise CannotContinue(f"llama-server's answers make no sense: {error!r}") from error
            answer = await ask(question.path, question.body)
    raise CannotContinue("it takes too long to get where it broke off")


class ResumeRun:
    """One answer being taken up, on a slot that is held until `run` has ended."""

    def __init__(self, request: ResumeRequest, exchange: HttpExchange, engine: EngineConnection) -> None:
        self._request = request
        self._exchange = exchange
        self._engine = engine
        self.reader = CountsReader()
        """Follows the rest to its end."""
        self.events = 0
        """How many events of the rest came, each about a token."""

    async def run(self, slot: int, reuse: bool) -> None:
        """Take the answer up and pass the rest on. Raises `ClientGone` and `UpstreamLost`."""
        try:
            rest = await while_commenting(partial(self._take_up, slot, reuse), self._comment, COMMENT_EVERY)
        except CannotContinue as error:
            await self._refuse(409, CANNOT_CONTINUE, str(error))
            return
        except RequestRefused as error:
            await self._refuse(400, LLAMA_REFUSED, str(error))
            return
        await self._begin()
        await self._exchange.send(taken_up_event(rest.taken_up))
        while piece := await self._engine.receive():
            self.events += piece.count(b"\n\n")
            await self._exchange.send(piece)
            self.reader.feed(piece)

    async def _take_up(self, slot: int, reuse: bool) -> ContinuationRequest:
        rest = await resume(self._request, self._engine.ask, slot, reuse)
        head = await self._engine.send("POST", rest.path, json.dumps(rest.body).encode())
        if not is_event_stream(head):
            text = (await self._engine.rest())[:300].decode(errors="replace")
            raise RequestRefused(f"llama-server answered {head.status}: {text}")
        return rest

    async def _comment(self) -> None:
        await self._begin()
        await self._exchange.send(COMMENT)

    async def _begin(self) -> None:
        if self._exchange.status is None:
            await self._exchange.start(200, [(b"content-type", b"text/event-stream")])

    async def _refuse(self, status: int, code: str, message: str) -> None:
        if self._exchange.status is None:
            await self._exchange.reply(error_reply(status, code, message))
        else:
            await self._exchange.send(error_event(code, message))
