"""Brings one completion to its client, over the death of any number of leaders.

`mesh.gateway.resuming` decides what to do. Here are the streams, the waits and their limits.
"""

import json
import logging
import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeVar

import trio

from mesh.gateway.backend import NotReady
from mesh.gateway.completions.commenting import while_commenting
from mesh.gateway.completions.taking_up import (
    KILLS_ENGINES,
    RequestKillsEngines,
    error_code,
    is_event_stream,
    take_up,
)
from mesh.gateway.connection import HttpExchange
from mesh.gateway.counters import GatewayCounters
from mesh.gateway.headers import end_to_end, request_headers
from mesh.gateway.leaders import RETRY, Leaders, RequestRefused, UpstreamAttempt
from mesh.gateway.replies import Headers, error_event, error_reply, unavailable
from mesh.gateway.resuming.answer import NextStep, ResumableAnswer
from mesh.gateway.resuming.continuation import CannotContinue
from mesh.gateway.resuming.held_back_text import HeldBackText
from mesh.gateway.resuming.reencoding import encode
from mesh.gateway.resuming.resume_request import ResumeRequest
from mesh.gateway.upstream import Head, NotServing, UpstreamLost
from mesh.net.stream_kinds import StreamKind
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
        self._refused_for = 0.0
        self._pause_for = RETRY
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
        self._pause_for = lost.retry_after if isinstance(lost, NotServing) else RETRY
        if not self._same_death:
            self._lost_at = now
        if progress:
            self._attempts_without_progress, self._refused_for = 0, 0.0
        elif refused:
            self._refused_for += self._pause_for
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
        except (CannotContinue, RequestRefused, RequestKillsEngines) as error:
            return error
        return None

    async def _after(self, lost: Exception) -> NextStep:
        """Find the next leader, and say what to do there. Raises `CannotContinue`, `MeshError`."""
        if isinstance(lost, RequestKillsEngines):
            raise lost
        if isinstance(lost, UpstreamLost):
            step = self._answer.lost()
        else:
            step = (self._answer.refused if isinstance(lost, RequestRefused) else self._answer.again)(
                str(lost)
            )
        logger.info("an answer broke off after %d settled tokens: %s", self._answer.token_log.settled, lost)
        if self._attempts_without_progress >= MAX_ATTEMPTS_WITHOUT_PROGRESS:
            raise UpstreamLost(f"{MAX_ATTEMPTS_WITHOUT_PROGRESS} leaders were lost over this request")
        if self._refused_for > self._patience:
            raise lost
        if self._same_death:
            await self._commenting(partial(trio.sleep, self._pause_for))
        if step is not NextStep.END:
            step = await self._reach_for(step)
        if not self._same_death:
            self._counters.resumed[step.value] += 1
        return step

    async def _reach_for(self, step: NextStep) -> NextStep:
        """Open an attempt for this step; where another model is served now, for beginning anew."""
        await self._commenting(
            partial(self._reach, StreamKind.RESUME if step is NextStep.CONTINUE else StreamKind.API)
        )
        serving = self._upstream_attempt.serving
        if step is NextStep.CONTINUE and serving is not None and serving.model != self._model:
            await self._upstream_attempt.aclose()
            return await self._reach_for(self._answer.again("another model is served now"))
        self._model = serving.model if serving else None
        return step

    async def _reach(self, kind: StreamKind) -> None:
        self._upstream_attempt = await self._leaders.reach(self._patience, kind, begun=True)

    # --- one attempt --------------------------------------------------------------------------------

    async def _begin(self, attempt: UpstreamAttempt) -> None:
        """Ask for the answer from its beginning."""
        request = self._exchange.request
        head = await attempt.send(request.method, request.target, request_headers(request), self._content)
        self._head_received = True
        if not is_event_stream(head):
            await self._pass_whole(attempt, head)
            return
        if self._answer.request.streaming and self._exchange.status is None:
            await self._exchange.start(head.status, end_to_end(head.headers))
        await self._stream(attempt, head.headers, [])

    async def _continue(self, attempt: UpstreamAttempt) -> None:
        """Have the leader take up the answer where it broke off, and go on."""
        began, request = trio.current_time(), self._answer.resume_request()
        taken_up, events = await self._commenting(partial(take_up, attempt, request))
        logger.info("an answer goes on after %.2f s of replay", trio.current_time() - began)
        self._head_received = True
        self._answer.goes_on(taken_up)
        await self._stream(attempt, [], events)

    async def _stream(self, attempt: UpstreamAttempt, headers: Headers, events: list[bytes]) -> None:
        answer = self._answer
        while not answer.ended and (events := events or await attempt.events()):
            out = b"".join(answer.feed(trio.current_time(), event) for event in events)
            events = []
            if answer.request.streaming and out:
                await self._send(out)
        if not answer.ended:
            raise UpstreamLost("the leader stopped before the answer's end")
        self._counters.tokens += answer.tokens
        if not answer.request.streaming:
            if (request := answer.tail_request()) is not None:
                await self._add_tail(request)
            await self._reply_whole(headers)

    async def _add_tail(self, request: ResumeRequest) -> None:
        """Ask for the text that the stream held back. Raises `UpstreamLost`."""
        text = HeldBackText(self._answer.request)
        try:
            async with await self._leaders.reach(self._patience, StreamKind.RESUME, begun=True) as attempt:
                taken_up, events = await take_up(attempt, request)
                if taken_up.ending or taken_up.by_text:
                    raise CannotContinue("the leader has taken up what it was not asked for")
                while not text.ended and (events := events or await attempt.events()):
                    for event in events:
                        text.feed(event)
                    events = []
        except UpstreamLost:
            raise
        except (MeshError, CannotContinue, LookupError, TypeError, ValueError) as error:
            logger.info("an answer lacks its last text: %s", error)
            return
        if not text.ended:
            raise UpstreamLost("the leader stopped before the answer's end")
        self._answer.add_tail(text.text)

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
            await self._send(error_event(_code(content), reason, self._exchange.request.shape))

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
        comment = partial(self._exchange.send, COMMENT)
        await comment()
        return await while_commenting(work, comment, COMMENT_EVERY)

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
        code = KILLS_ENGINES if isinstance(error, RequestKillsEngines) else code
        text = str(lost) if error is lost else f"{lost}; the answer cannot be taken up again: {error}"
        if self._exchange.status is None:
            if isinstance(error, NotReady):
                await self._exchange.reply(unavailable(code, text, error.retry_after, shape))
            else:
                status = 422 if code == KILLS_ENGINES else 502
                await self._exchange.reply(error_reply(status, code, text, shape=shape))
        else:
            await self._send(error_event(code, text, shape))


def _code(content: bytes) -> str:
    """Return the code of the leader's refusal."""
    try:
        return error_code(json.loads(content)) or "upstream_refused"
    except (ValueError, RecursionError):
        return "upstream_refused"
