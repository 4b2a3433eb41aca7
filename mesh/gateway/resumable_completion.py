"""Brings one completion to its client, over the death of any number of leaders.

`mesh.gateway.resuming` decides what to do. Here are the streams, the waits and their limits.
"""

import logging
import math
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Final, TypeVar

import trio

from mesh.gateway.backend import NotReady
from mesh.gateway.connection import ClientGone, HttpExchange
from mesh.gateway.counters import GatewayCounters
from mesh.gateway.headers import end_to_end, request_headers
from mesh.gateway.leaders import RETRY, Leaders, RequestRefused, UpstreamAttempt
from mesh.gateway.replies import Headers, error_event, error_reply, unavailable
from mesh.gateway.resuming.answer import NextStep, ResumableAnswer
from mesh.gateway.resuming.continuation import Ask, CannotContinue
from mesh.gateway.resuming.pace import Pace
from mesh.gateway.resuming.reencoding import encode
from mesh.gateway.sse import EventSplitter
from mesh.gateway.upstream import Head, NotServing, UpstreamLost
from mesh.wire.errors import MeshError

COMMENT_EVERY: Final = 5.0
"""Seconds between two comments to a client whose answer waits for a leader."""
COMMENT: Final = b": waiting for a leader\n\n"
MAX_ATTEMPTS_WITHOUT_PROGRESS: Final = 3
"""Leaders that may be lost over a request without a new token: perhaps the request is what kills them."""

SAME_DEATH: Final = 1.0
"""Seconds within which another loss counts as the same llama-server's: a dying one still accepts connections.
"""

_T = TypeVar("_T")

logger = logging.getLogger(__name__)


class ResumableCompletion:
    """Brings one answer. ``content`` is the request's body, ``patience`` the seconds a pause may last."""

    def __init__(
        self,
        exchange: HttpExchange,
        answer: ResumableAnswer,
        content: bytes,
        leaders: Leaders,
        counters: GatewayCounters,
        patience: float,
    ) -> None:
        self._exchange = exchange
        self._answer = answer
        self._content = content if answer.request.why_not_resumable else encode(answer.request.first())
        self._leaders = leaders
        self._counters = counters
        self._patience = patience
        self._attempts_without_progress = 0
        self._refusals = 0
        self._lost_at = -math.inf
        self._same_death = False
        self._head_received = False

    async def run(self, attempt: UpstreamAttempt) -> None:
        """Answer, beginning with this attempt. Raises `ClientGone`."""
        self._upstream_attempt = attempt
        self._model = attempt.serving.model if attempt.serving else None
        step = NextStep.AGAIN
        try:
            while step is not NextStep.END:
                settled = self._answer.token_log.settled
                lost = await self._attempt(step)
                if lost is None:
                    return
                self._count(lost, self._answer.token_log.settled > settled)
                try:
                    step = await self._after(lost)
                except (MeshError, CannotContinue) as error:
                    await self._fail(lost, error)
                    return
            await self._finish()
        finally:
            await self._upstream_attempt.aclose()

    def _count(self, lost: Exception, progress: bool) -> None:
        """Decide whether a loss is a new one, or of a llama-server that was lost before."""
        now = trio.current_time()
        refused = isinstance(lost, NotServing)
        self._same_death = not progress and (refused or now - self._lost_at < SAME_DEATH)
        if not self._same_death:
            self._lost_at = now
        if progress:
            self._attempts_without_progress = self._refusals = 0
        elif refused:
            self._refusals += 1
        elif not self._same_death:
            self._attempts_without_progress += 1

    async def _attempt(self, step: NextStep) -> Exception | None:
        """Answer by one leader; return the error that ended the attempt early, None for a whole answer."""
        self._head_received = False
        attempt = self._upstream_attempt
        try:
            async with attempt:
                await (self._continue(attempt) if step is NextStep.CONTINUE else self._begin(attempt))
        except NotServing as error:
            return error
        except UpstreamLost as error:
            self._counters.upstream_failures["stream" if self._head_received else "first_byte"] += 1
            return error
        except (CannotContinue, RequestRefused) as error:
            return error
        return None

    async def _after(self, lost: Exception) -> NextStep:
        """Find the next leader, and say what to do there. Raises `CannotContinue`, `MeshError`."""
        if isinstance(lost, UpstreamLost):
            step = self._answer.lost()
        else:
            step = (self._answer.refused if isinstance(lost, RequestRefused) else self._answer.again)(
                str(lost)
            )
        logger.info("an answer broke off after %d settled tokens: %s", self._answer.token_log.settled, lost)
        if self._attempts_without_progress >= MAX_ATTEMPTS_WITHOUT_PROGRESS:
            raise UpstreamLost(f"{MAX_ATTEMPTS_WITHOUT_PROGRESS} leaders were lost over this request")
        if self._refusals * RETRY > self._patience:
            raise lost
        if self._same_death:
            await self._commenting(self._pause)
        if step is not NextStep.END:
            await self._commenting(self._reach)
            serving = self._upstream_attempt.serving
            if step is NextStep.CONTINUE and serving is not None and serving.model != self._model:
                step = self._answer.again("another model is served now")
            self._model = serving.model if serving else None
        if not self._same_death:
            self._counters.resumed[step.value] += 1
        return step

    async def _pause(self) -> None:
        await trio.sleep(RETRY)

    async def _reach(self) -> None:
        self._upstream_attempt = await self._leaders.reach(self._patience, begun=True)

    # --- one attempt --------------------------------------------------------------------------------

    async def _begin(self, attempt: UpstreamAttempt) -> None:
        """Ask for the answer from its beginning."""
        request = self._exchange.request
        head = await attempt.send(request.method, request.target, request_headers(request), self._content)
        self._head_received = True
        if not _is_event_stream(head):
            await self._pass_whole(attempt, head)
            return
        if self._answer.request.streaming and self._exchange.status is None:
            await self._exchange.start(head.status, end_to_end(head.headers))
        await self._stream(attempt, head)

    async def _continue(self, attempt: UpstreamAttempt) -> None:
        """Bring the leader to where the answer broke off, and go on."""
        began, pace = trio.current_time(), Pace()
        script = self._answer.continuation(
            lambda done, total: pace.is_too_slow(trio.current_time(), done, total)
        )
        request_for_rest = await self._commenting(lambda: _perform(attempt, script))
        logger.info("an answer goes on after %.2f s of replay", trio.current_time() - began)
        headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
        head = await attempt.send(
            "POST", request_for_rest.path.encode(), headers, encode(request_for_rest.body)
        )
        self._head_received = True
        if not _is_event_stream(head):
            content = await attempt.rest()
            raise RequestRefused(
                f"llama-server answered {head.status}: {content[:300].decode(errors='replace')}"
            )
        await self._stream(attempt, head)

    async def _stream(self, attempt: UpstreamAttempt, head: Head) -> None:
        answer, splitter = self._answer, EventSplitter()
        while not answer.ended and (data := await attempt.upstream.receive()):
            try:
                events = splitter.feed(data)
            except ValueError as error:
                raise UpstreamLost("the leader's answer makes no sense") from error
            out = b"".join(answer.feed(trio.current_time(), event) for event in events)
            if answer.request.streaming and out:
                await self._send(out)
        if not answer.ended:
            raise UpstreamLost("the leader stopped before the answer's end")
        self._counters.tokens += answer.tokens
        if not answer.request.streaming:
            try:
                await _perform(attempt, answer.tail())
            except (CannotContinue, RequestRefused) as error:
                logger.info("an answer lacks its last text: %s", error)
            await self._reply_whole(head.headers)

    async def _pass_whole(self, attempt: UpstreamAttempt, head: Head) -> None:
        """Pass on an answer that is no stream: one that was asked for whole, or an error."""
        content = await attempt.rest()
        headers = end_to_end(head.headers)
        if head.status == 503 and not any(name == b"retry-after" for name, _ in headers):
            headers.append((b"retry-after", b"2"))
        if self._exchange.status is None:
            await self._exchange.start(head.status, headers)
            await self._send(content)
        else:
            reason = content[:200].decode(errors="replace")
            await self._send(error_event("upstream_refused", reason, self._exchange.request.shape))

    async def _reply_whole(self, headers: Headers) -> None:
        content = self._answer.whole()
        kept = [
            (name, value)
            for name, value in end_to_end(headers)
            if name not in (b"content-type", b"content-length", b"x-accel-buffering")
        ]
        kept += [(b"content-type", b"application/json; charset=utf-8")]
        await self._exchange.start(self._answer.status, [*kept, (b"content-length", b"%d" % len(content))])
        await self._send(content)

    async def _send(self, data: bytes) -> None:
        await self._exchange.send(data)
        self._counters.response_bytes += len(data)

    # --- between two attempts -------------------------------------------------------------------------

    async def _commenting(self, work: Callable[[], Awaitable[_T]]) -> _T:
        """Do slow work, and meanwhile send comments to a client that streams."""
        if not self._exchange.is_event_stream:
            return await work()
        failure: Exception | None = None
        gone = False
        result: list[_T] = []

        async def comment(scope: trio.CancelScope) -> None:
            nonlocal gone
            try:
                while True:
                    await self._exchange.send(COMMENT)
                    await trio.sleep(COMMENT_EVERY)
            except ClientGone:
                gone = True
                scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(comment, nursery.cancel_scope)
            try:
                result.append(await work())
            except (MeshError, CannotContinue) as error:
                failure = error
            nursery.cancel_scope.cancel()
        if gone:
            raise ClientGone
        if failure is not None:
            raise failure
        return result[0]

    async def _finish(self) -> None:
        """Send what is missing of an answer that broke off after its last token."""
        ending = self._answer.end()
        self._counters.tokens += self._answer.tokens
        if self._answer.request.streaming:
            await self._send(ending)
        else:
            await self._reply_whole([])

    async def _fail(self, lost: Exception, error: Exception) -> None:
        """Tell the client that the answer ends here: by an error, or an error event."""
        self._counters.resumed["failed"] += 1
        code = "not_ready" if isinstance(error, NotReady) else "upstream_lost"
        shape = self._exchange.request.shape
        text = str(lost) if error is lost else f"{lost}; the answer cannot be taken up again: {error}"
        if self._exchange.status is None:
            if isinstance(error, NotReady):
                await self._exchange.reply(unavailable(code, text, error.retry_after, shape))
            else:
                await self._exchange.reply(error_reply(502, code, text, shape=shape))
        else:
            await self._send(error_event(code, text, shape))


async def _perform(attempt: UpstreamAttempt, script: Generator[Ask, Any, _T]) -> _T:
    """Send the script's requests, until it returns its result."""
    answer: Any = None
    while True:
        try:
            ask = script.send(answer)
        except StopIteration as end:
            result: _T = end.value
            return result
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise CannotContinue(f"llama-server's answers make no sense: {error!r}") from error
        answer = await attempt.ask(ask.path, ask.body)


def _is_event_stream(head: Head) -> bool:
    return head.status == 200 and any(
        name == b"content-type" and value.lower().startswith(b"text/event-stream")
        for name, value in head.headers
    )
