"""What a gateway makes of a leader's answer to its wish that an answer be taken up."""

from collections.abc import Callable

import pytest
import trio.testing

from mesh.gateway.completions import taking_up
from mesh.gateway.completions.taking_up import MOST_BETWEEN_TRIES, RequestKillsEngines, take_up
from mesh.gateway.leaders import RETRY, RequestRefused, UpstreamAttempt
from mesh.gateway.resuming.continuation import CannotContinue
from mesh.gateway.resuming.resume_request import ResumeRequest, SaidText
from mesh.gateway.resuming.taken_up import TakenUp, taken_up_event
from mesh.gateway.upstream import NotServing, Upstream, UpstreamLost
from tests.mesh.gateway.doubles import END, SSE_HEAD, Call, chunk, sse

REQUEST = ResumeRequest("/v1/chat/completions", {"messages": []}, None, SaidText("", "a", 1), "fast")
TAKEN_UP = TakenUp(True, 0, "")


async def asked(*pieces: bytes) -> tuple[TakenUp, list[bytes]]:
    """Ask a leader that answers with these pieces, and then ends."""
    near, far = trio.testing.memory_stream_pair()
    attempt = UpstreamAttempt(None, Upstream(near), None)  # type: ignore[arg-type]

    async def answer() -> None:
        call = Call(far)
        await call.request()
        for piece in pieces:
            await call.send(piece)
            await trio.testing.wait_all_tasks_blocked()
        await call.hang_up()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        try:
            result: tuple[TakenUp, list[bytes]] | Exception = await take_up(attempt, REQUEST)
        except Exception as error:
            result = error
    if isinstance(result, Exception):
        raise result
    return result


def answer(status: int, content: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 %d No" % status, b"content-length: %d" % len(content), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + content


async def test_the_leaders_word_comes_after_comments_and_before_the_rest() -> None:
    first = chunk(b": wait\n\n" + taken_up_event(TAKEN_UP) + b"data: {}\n\n")
    assert await asked(SSE_HEAD, chunk(b": wait\n\n"), first) == (TAKEN_UP, [b"data: {}\n\n"])


def error(code: str) -> bytes:
    return b'{"error":{"code":"%b","message":"m"}}' % code.encode()


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        ("cannot_continue", CannotContinue, "^m$"),
        ("refused", RequestRefused, "^m$"),
        ("engine_died", RequestKillsEngines, "^m$"),
        ("unknown", RequestRefused, "unknown"),
    ],
)
@pytest.mark.parametrize(
    "say", [lambda code: answer(400, error(code)), lambda code: sse(error(code).decode())]
)
async def test_a_refusal_means_the_same_as_an_answer_and_as_an_event(
    code: str, kind: type[Exception], message: str, say: Callable[[str], bytes]
) -> None:
    with pytest.raises(kind, match=message):
        await asked(say(code))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (b"retry-after: 3", 3.0),
        (b"retry-after: 99999", MOST_BETWEEN_TRIES),
        (b"retry-after: 0", RETRY),
        (b"retry-after: soon", 1.0),
        (b"x: y", 1.0),
        (b"x-mesh-not-serving: 1", 0.1),
    ],
)
async def test_a_leader_without_time_says_when_to_come_again(header: bytes, seconds: float) -> None:
    with pytest.raises(NotServing) as caught:
        await asked(answer(503, b"full", header))
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize(
    "pieces",
    [
        [answer(503, b"", b"x-mesh-engine-died: 1")],
        [answer(500, b"oh")],
        [answer(200, b"")[:-3]],
        [sse("{}") + END],
        [SSE_HEAD + chunk(b"event: continued\ndata: 7\n\n")],
    ],
)
async def test_a_leader_that_breaks_off_or_makes_no_sense_is_lost(pieces: list[bytes]) -> None:
    with pytest.raises(UpstreamLost) as caught:
        await asked(*pieces)
    assert not isinstance(caught.value, NotServing)


async def test_an_answer_that_is_too_long_for_a_request_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taking_up, "MAX_RESUME_REQUEST", 10)
    attempt = UpstreamAttempt(None, Upstream(trio.testing.memory_stream_pair()[0]), None)  # type: ignore[arg-type]
    with pytest.raises(CannotContinue, match="too long"):
        await take_up(attempt, REQUEST)
