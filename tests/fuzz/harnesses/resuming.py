"""What a gateway asks of a leader that is to take up an answer, and what the leader says to that."""

import json
from collections.abc import Generator
from contextlib import suppress
from typing import Any

from mesh.gateway.resuming.continuation import (
    Ask,
    CannotContinue,
    ContinuationRequest,
    HeldSlot,
    continuation,
)
from mesh.gateway.resuming.resume_request import (
    MAX_TOKENS,
    ResumeRequest,
    SaidText,
    decode_resume_request,
    encode_resume_request,
)
from mesh.gateway.resuming.settled_tokens import Gap, SettledTokens
from mesh.gateway.resuming.taken_up import MAX_PROMPT, TakenUp, read_taken_up, taken_up_event
from tests.fuzz.harness import Harness

ANSWERS = {
    "/apply-template": {"prompt": "a"},
    "/tokenize": {"tokens": [1, 2]},
    "/detokenize": {"content": "a"},
    "/completion": {},
}


def resume(data: bytes) -> None:
    """A request is read or refused; one that is read is written as it was, and comes to an end."""
    try:
        request = decode_resume_request(data)
    except ValueError:
        return
    assert decode_resume_request(encode_resume_request(request)) == request
    assert request.tokens is None or len(request.tokens.ids) <= MAX_TOKENS
    request = request.judged(json.loads(request.question()))
    with suppress(CannotContinue, LookupError, TypeError, ValueError, AttributeError):
        _run(continuation(request, HeldSlot(3, True), lambda done, total: done > 8))


def _run(script: Generator[Ask, Any, ContinuationRequest]) -> None:
    answer: Any = None
    while True:
        try:
            ask = script.send(answer)
        except StopIteration as end:
            rest: ContinuationRequest = end.value
            break
        assert ask.body.get("id_slot", 3) == 3
        answer = ANSWERS[ask.path]
    assert rest.body["id_slot"] == 3


def _requests() -> list[bytes]:
    tokens = SettledTokens((1, None, 3), (Gap(1, 2, "a", "b"),), (2, "c"))
    chat = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}
    requests = [
        ResumeRequest("/completion", {"prompt": [1, 2], "stop": ["x"]}, tokens, None, "exact"),
        ResumeRequest("/v1/completions", {"prompt": "a"}, SettledTokens((1, 3), (), (1, "c")), None, "exact"),
        ResumeRequest("/v1/chat/completions", chat, tokens, SaidText("t", "abc", 3), "exact", False, True),
        ResumeRequest("/v1/chat/completions", chat, None, SaidText("t", "abc", 3), "fast"),
    ]
    return [encode_resume_request(request) for request in requests]


def taken_up(data: bytes) -> None:
    """An event that says it, or another, or nonsense."""
    with suppress(ValueError):
        said = read_taken_up(data)
        if said is not None:
            assert read_taken_up(taken_up_event(said)) == said
            assert 0 <= said.prompt_tokens < MAX_PROMPT


def _events() -> list[bytes]:
    said = (TakenUp(False, 7, "word", ("a", "")), TakenUp(True, 0, ""))
    return [b": a comment\n\n", *map(taken_up_event, said)]


HARNESSES = (
    Harness("resume", "mesh.gateway.resuming.resume_request, continuation", lambda: resume, _requests),
    Harness("taken_up", "mesh.gateway.resuming.taken_up", lambda: taken_up, _events, 1024),
)
