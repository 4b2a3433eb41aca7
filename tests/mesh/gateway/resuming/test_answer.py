"""Answers cut anywhere, any number of times: what the client gets is what it would have got."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.gateway.resuming.answer import NextStep, ResumableAnswer
from mesh.gateway.resuming.continuation import CannotContinue, HeldSlot, continuation
from mesh.gateway.resuming.dialects import parse_event
from mesh.gateway.resuming.pace import How
from mesh.gateway.resuming.request import read_request
from mesh.gateway.resuming.resume_request import decode_resume_request, encode_resume_request
from mesh.gateway.resuming.taken_up import TakenUp, read_taken_up, taken_up_event
from tests.mesh.gateway.resuming.fake_llama import PROMPT_TEXT, BetweenTokens, FakeLlama

NATIVE, TEXT, CHAT = "/completion", "/v1/completions", "/v1/chat/completions"
PATHS = (NATIVE, TEXT, CHAT)


def make(path: str, how: How | None = None, **more: Any) -> ResumableAnswer:
    asked: dict[str, Any] = {"messages": [{"role": "user", "content": "Say it"}]} if path == CHAT else {}
    body = {**(asked or {"prompt": PROMPT_TEXT}), "stream": True, **more}
    read = read_request(path, json.dumps(body).encode())
    assert read is not None
    return ResumableAnswer(read, how)


class Client:
    """Brings an answer by leaders that die after so many events each, as the gateway does."""

    def __init__(self, model: FakeLlama, answer: ResumableAnswer) -> None:
        self.model = model
        self.answer = answer
        self.got = b""
        self.steps: list[NextStep] = []

    def run(self, cuts: Sequence[int]) -> bytes:
        request = self.answer.request
        path, body = request.path, request.first()
        for cut in [*cuts, 10**9]:
            for number, event in enumerate(self.model.stream(path, body)):
                if number == cut:
                    break
                self.got += self.answer.feed(float(number), event)
            if self.answer.ended:
                return self.got
            self.steps.append(self.answer.lost())
            if self.steps[-1] is NextStep.END:
                self.got += self.answer.end()
                return self.got
            path, body = request.path, request.first()
            if self.steps[-1] is NextStep.CONTINUE:
                path, body = self._continue()
        raise AssertionError("an answer that nothing cuts comes to its end")

    def _continue(self) -> tuple[str, dict[str, Any]]:
        asked = decode_resume_request(encode_resume_request(self.answer.resume_request()))
        script = continuation(asked, HeldSlot(7, True))
        reply: Any = None
        while True:
            try:
                ask = script.send(reply)
            except StopIteration as end:
                rest = end.value
                taken_up = read_taken_up(taken_up_event(rest.taken_up))
                assert taken_up is not None
                self.answer.goes_on(taken_up)
                return rest.path, rest.body
            reply = self.model.ask(ask.path, ask.body)


def events_of(got: bytes) -> list[Any]:
    """The events without their measurements; the words that end the stream as they are."""
    events: list[Any] = []
    for raw in got.split(b"\n\n")[:-1]:
        value = parse_event(raw)
        events.append(raw if value is None else {k: v for k, v in value.items() if k not in VOLATILE})
        # Which of two ends it was is not always to be found out.
        if value and value.get("stop_type") == "word":
            events[-1]["stop_type"] = "eos"
    return events


VOLATILE = ("timings", "tokens_cached")


def cut_up(data: bytes, seams: Sequence[int]) -> list[bytes]:
    """Tokens of these lengths, one after the other; the rest byte by byte."""
    pieces = []
    for seam in seams:
        pieces.append(data[:seam])
        data = data[seam:]
    return [piece for piece in [*pieces, *(data[i : i + 1] for i in range(len(data)))] if piece]


TEXTS = st.text(st.sampled_from("abEND \n日é😀"), min_size=1, max_size=24)
SEAMS = st.lists(st.integers(1, 5), max_size=24)
CUTS = st.lists(st.integers(0, 30), min_size=1, max_size=5)
LIMITS = st.none() | st.integers(1, 40)


@given(
    st.sampled_from(PATHS),
    TEXTS,
    SEAMS,
    CUTS,
    LIMITS,
    st.sampled_from(["exact", "fast", None]),
    st.booleans(),
)
def test_an_answer_that_is_cut_anywhere_reads_as_one_that_is_not(
    path: str, text: str, seams: list[int], cuts: list[int], limit: int | None, how: How | None, usage: bool
) -> None:
    model = FakeLlama(cut_up(text.encode(), seams))
    more: dict[str, Any] = {"stop": ["ENDE", "b\n"], "stream_options": {"include_usage": usage}}
    more |= {} if limit is None else {"max_tokens": limit}
    wanted = Client(model, make(path, **more)).run([])
    client = Client(model, make(path, how, **more))
    try:
        got = client.run(cuts)
    except (CannotContinue, BetweenTokens):
        # Ids that nobody told cannot always be found. What has gone out is the beginning of the same.
        assert events_of(wanted)[: len(events_of(client.got))] == events_of(client.got)
    else:
        assert except_for_counts(got, client, len(model.said)) == except_for_counts(wanted, client, 0)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("how", ["exact", "fast", None])
@pytest.mark.parametrize(
    "more",
    [{}, {"max_tokens": 3}, {"stop": ["ENDE"]}, {"stop": ["wo"], "stream_options": {"include_usage": True}}],
    ids=["eos", "limit", "held back", "stop"],
)
def test_an_answer_that_is_cut_once_reads_as_whole_wherever_that_is(
    path: str, how: How | None, more: dict[str, Any]
) -> None:
    model = FakeLlama([b"One", b" t", b"wo\n", b" EN", b"D"])
    wanted = Client(model, make(path, **more)).run([])
    for cut in range(wanted.count(b"data: ")):
        client = Client(model, make(path, how, **more))
        got = client.run([cut])
        assert except_for_counts(got, client, len(model.said)) == except_for_counts(wanted, client, 0)


def except_for_counts(got: bytes, client: Client, most_again: int) -> list[Any]:
    """The events; but for the usage where the answer went on from its text at least once.

    Tokens whose text is held back at a cut, as they may become a stop string, are generated again from there,
    and nobody tells how many of the tokens those were: so the usage may count each of them once more a cut.
    """
    events = events_of(got)
    if any("continue_final_message" in body for _, body in client.model.asked):
        for event in events:
            usage = event.pop("usage", None) if isinstance(event, dict) else None
            if usage is not None:
                made, cuts = len(client.model.said) + 1, len(client.steps)
                assert 0 < usage["completion_tokens"] <= made + most_again * cuts
    return events


WORDS = st.lists(st.sampled_from([b" one", b" two", b" three"]), min_size=1, max_size=8)


@given(WORDS, WORDS, CUTS, LIMITS, st.sampled_from(["exact", "fast", None]), st.booleans())
def test_thoughts_and_what_follows_them_go_on_from_their_text(
    thoughts: list[bytes], said: list[bytes], cuts: list[int], limit: int | None, how: How | None, usage: bool
) -> None:
    model = FakeLlama(said, thoughts=thoughts)
    more: dict[str, Any] = {"stream_options": {"include_usage": usage}}
    more |= {} if limit is None else {"max_tokens": limit}
    wanted = Client(model, make(CHAT, **more)).run([])
    got = Client(model, make(CHAT, how, **more)).run(cuts)
    assert events_of(got) == events_of(wanted)


FIELDS = st.sampled_from(
    (
        *("content", "tokens", "tokens_predicted", "stop", "choices", "delta", "text", "index"),
        *("finish_reason", "usage", "timings", "__verbose", "logprobs", "bytes", "id"),
    )
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=12,
)


@given(
    st.sampled_from(PATHS), st.lists(st.dictionaries(FIELDS, VALUES, max_size=6), max_size=4), st.booleans()
)
def test_no_event_whatever_makes_the_gateway_stumble(
    path: str, events: list[dict[str, Any]], whole: bool
) -> None:
    answer = make(path, stream=not whole)
    for event in events:
        raw = b"data: " + json.dumps(event).encode() + b"\n\n"
        assert isinstance(answer.feed(0.0, raw), bytes)
    try:
        answer.lost()
    except CannotContinue:
        assert not whole


def test_a_leader_that_never_comes_to_an_end_is_not_listened_to_for_ever() -> None:
    model = FakeLlama([b"x" * (1 << 20)] * 40)
    with pytest.raises(CannotContinue, match="longer than an answer can be"):
        Client(model, make(NATIVE)).run([])


def test_a_count_of_tokens_that_cannot_be_is_not_believed() -> None:
    answer = make(NATIVE)
    event = {"content": "x", "tokens": [1], "stop": False, "tokens_predicted": 10**12, "tokens_evaluated": 1}
    told = b"data: " + json.dumps(event).encode() + b"\n\n"
    assert answer.feed(0.0, told) == told
    with pytest.raises(CannotContinue):
        answer.lost()


@pytest.mark.parametrize("path", PATHS)
def test_an_answer_that_cannot_be_resumed_passes_unchanged_and_says_why(path: str) -> None:
    answer = make(path, logprobs=True) if path == CHAT else make(path, n_probs=3)
    asked = answer.request
    events = list(FakeLlama([b"a ", b"few ", b"words"]).stream(path, asked.first()))
    assert b"".join(answer.feed(float(at), event) for at, event in enumerate(events)) == b"".join(events)
    assert answer.ended
    answer = make(path, logprobs=True) if path == CHAT else make(path, n_probs=3)
    for at, event in enumerate(events[: len(events) // 2]):
        answer.feed(float(at), event)
    with pytest.raises(CannotContinue, match="it has log probabilities"):
        answer.lost()


@pytest.mark.parametrize(("code", "status"), [(400, 400), (503, 503), (200, 500), ("many", 500)])
def test_an_answer_that_fails_ends_with_its_error_and_a_status_of_its_own(code: Any, status: int) -> None:
    answer = make(NATIVE, stream=False)
    failure = {"error": {"code": code, "message": "the slot is gone"}}
    answer.feed(0.0, b"data: " + json.dumps(failure).encode() + b"\n\n")
    assert answer.ended
    assert answer.status == status
    assert json.loads(answer.whole()) == failure


@pytest.mark.parametrize("by_text", [True, False])
def test_a_leader_is_not_believed_that_takes_up_what_it_was_not_asked_for(by_text: bool) -> None:
    answer = make(CHAT if by_text else NATIVE)
    with pytest.raises(CannotContinue, match="not asked for"):
        answer.goes_on(TakenUp(by_text, 3, "", ("", "")))
