"""An answer is taken up right beside llama-server, on the slot that is held for it."""

import json
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from mesh.gateway.connection import Connection, HttpExchange
from mesh.gateway.leaders import RequestRefused
from mesh.gateway.resuming.continuation import CannotContinue
from mesh.gateway.resuming.pace import EXACT_LIMIT
from mesh.gateway.resuming.resume_request import ResumeRequest
from mesh.gateway.resuming.settled_tokens import Gap, SettledTokens
from mesh.gateway.resuming.taken_up import TakenUp, read_taken_up
from mesh.gateway.sse import EventSplitter
from mesh.gateway.upstream import Head, UpstreamLost
from mesh.serving.asking import resumption
from mesh.serving.asking.resumption import COMMENT, COMMENT_EVERY, ResumeRun, resume
from tests.mesh.gateway.doubles import Client
from tests.mesh.gateway.resuming.fake_llama import PROMPT, PROMPT_TEXT, FakeLlama

PIECES = [b"one", b" two", b" three", b" four"]
STREAM = Head(200, [(b"content-type", b"text/event-stream")])


class SlowEngine:
    """A llama-server that takes some seconds for each question; ``failure`` is what the rest comes to."""

    def __init__(self, seconds: float = 0.0, failure: Exception | Head | None = None) -> None:
        self.model = FakeLlama(PIECES)
        self.seconds = seconds
        self.failure = failure
        self.rests: list[dict[str, Any]] = []
        self._pieces: list[bytes] = []

    async def ask(self, path: str, body: dict[str, Any]) -> Any:
        await trio.sleep(self.seconds)
        return self.model.ask(path, body)

    async def send(self, method: str, path: str, body: bytes) -> Head:
        assert method == "POST"
        self.rests.append(json.loads(body))
        if isinstance(self.failure, Head):
            return self.failure
        self._pieces = list(self.model.stream(path, self.rests[-1]))
        return STREAM

    async def receive(self) -> bytes:
        await trio.lowlevel.checkpoint()
        if isinstance(self.failure, Exception):
            raise self.failure
        return self._pieces.pop(0) if self._pieces else b""

    async def rest(self) -> bytes:
        await trio.lowlevel.checkpoint()
        return b"exceed_context_size"

    @property
    def replayed(self) -> list[int]:
        return [
            len(body["prompt"])
            for path, body in self.model.asked
            if path == "/completion" and "id_slot" in body
        ]


def said(model: FakeLlama, count: int) -> SettledTokens:
    return SettledTokens(tuple(model.said[:count]), (), (count - 1, PIECES[count - 1].decode()))


def request(engine: SlowEngine, **more: Any) -> ResumeRequest:
    fields: dict[str, Any] = {"body": {"prompt": PROMPT_TEXT}, "tokens": said(engine.model, 3), "text": None}
    return ResumeRequest("/completion", **{**fields, "how": "exact", **more})


async def test_it_is_replayed_token_by_token_on_the_slot_that_is_held() -> None:
    engine = SlowEngine()
    rest = await resume(request(engine), engine.ask, 5, True)
    assert engine.replayed == [len(PROMPT), len(PROMPT) + 1, len(PROMPT) + 2]
    assert (rest.body["id_slot"], rest.body["cache_prompt"]) == (5, True)
    assert rest.taken_up == TakenUp(False, len(PROMPT), "", (" three", " three"))


@pytest.mark.parametrize(("paced", "seconds"), [(True, 5.0), (False, EXACT_LIMIT + 1)])
async def test_a_slow_replay_goes_on_as_one_batch(
    autojump_clock: MockClock, paced: bool, seconds: float
) -> None:
    engine = SlowEngine(seconds)
    await resume(request(engine, paced=paced), engine.ask, 5, True)
    assert len(engine.replayed) == 2
    quicker = SlowEngine(seconds / 4)
    await resume(request(quicker, paced=paced), quicker.ask, 5, True)
    assert len(quicker.replayed) == 3, "with time enough"


async def test_nothing_is_taken_up_for_ever(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resumption, "TAKE_UP_LIMIT", 10.0)
    engine = SlowEngine(11.0)
    with pytest.raises(CannotContinue, match="too long"):
        await resume(request(engine), engine.ask, 5, True)


async def test_answers_that_make_no_sense_end_it() -> None:
    async def ask(path: str, body: dict[str, Any]) -> Any:
        return {"tokens": 7, "content": 3}

    engine = SlowEngine()
    tokens = SettledTokens((None, 11), (Gap(0, 2, "", "one two"),), (0, "one two"))
    with pytest.raises(CannotContinue, match="make no sense"):
        await resume(request(engine, tokens=tokens), ask, 5, True)


async def answer(engine: SlowEngine, **more: Any) -> tuple[int, bytes, ResumeRun]:
    """Have an answer taken up through HTTP; the status, what is told, and the run."""
    near, far = trio.testing.memory_stream_pair()
    runs: list[ResumeRun] = []

    async def handle(exchange: HttpExchange) -> None:
        runs.append(ResumeRun(request(engine, **more), exchange, engine))
        try:
            await runs[0].run(0, False)
        except UpstreamLost:
            exchange.abort()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(Connection(far, handle, "").run)
        client = Client(near)  # type: ignore[arg-type]
        await client.ask("POST", "/resume")
        head = await client.head()
        try:
            body = await client.rest()
        except Exception:
            body = b"broke off"
        await near.aclose()
        nursery.cancel_scope.cancel()
    return head.status_code, body, runs[0]


async def test_the_leaders_word_comes_first_and_then_the_rest_as_it_is() -> None:
    engine = SlowEngine()
    status, body, run = await answer(engine)
    events = EventSplitter().feed(body)
    assert (status, read_taken_up(events[0])) == (200, TakenUp(False, len(PROMPT), "", (" three", " three")))
    assert [json.loads(event[6:])["content"] for event in events[1:]] == [" four", "", ""]
    last = json.loads(events[-1][6:])
    assert run.reader.counts().generated == last["tokens_predicted"] > 0


async def test_a_gateway_hears_that_the_leader_lives_while_it_takes_long(autojump_clock: MockClock) -> None:
    status, body, _ = await answer(SlowEngine(2 * COMMENT_EVERY), paced=False)
    assert status == 200
    assert body.startswith(COMMENT * 3)
    assert b'data: {"by_text": false' in body


LONG = Head(400, [])


@pytest.mark.parametrize(
    ("more", "failure", "status", "code"),
    [
        ({"body": {"prompt": PROMPT_TEXT, "grammar": "x"}}, None, 409, "cannot_continue"),
        ({}, LONG, 400, "refused"),
    ],
)
@pytest.mark.parametrize("seconds", [0.0, 2 * COMMENT_EVERY])
async def test_a_refusal_is_an_answer_or_an_event_where_one_has_begun(
    autojump_clock: MockClock,
    more: dict[str, Any],
    failure: Head | None,
    status: int,
    code: str,
    seconds: float,
) -> None:
    engine = SlowEngine(seconds, failure)
    begun = bool(seconds) and failure is not None
    got, body, _ = await answer(engine, **more)
    assert got == (200 if begun else status)
    error = json.loads(body.rpartition(b"data: ")[2])["error"]
    assert error["code"] == code
    assert ("exceed_context_size" in error["message"]) is (failure is not None)


async def test_where_llama_server_breaks_off_the_answer_does() -> None:
    assert (await answer(SlowEngine(failure=UpstreamLost("it died"))))[1] == b"broke off"


async def test_what_llama_server_refuses_during_the_replay_is_a_refusal() -> None:
    engine = SlowEngine()

    async def refuse(path: str, body: dict[str, Any]) -> Any:
        raise RequestRefused("exceed_context_size")

    engine.ask = refuse  # type: ignore[method-assign]
    status, body, _ = await answer(engine)
    assert (status, json.loads(body)["error"]["code"]) == (400, "refused")
