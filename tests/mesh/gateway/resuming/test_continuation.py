import json
from typing import Any

import pytest

from mesh.gateway.resuming.continuation import Ask, CannotContinue, ContinuationRequest, continuation
from mesh.gateway.resuming.dialects import StreamPiece
from mesh.gateway.resuming.pace import How
from mesh.gateway.resuming.request import CompletionRequest, read_request
from mesh.gateway.resuming.token_log import TokenLog

PROMPT = [1, 2]
SAID = {11: "one", 12: " two", 13: " three", 15: " four"}


IDS = (11, 12, 13)


def completion(path: str = "/completion", **body: Any) -> CompletionRequest:
    request = read_request(path, json.dumps({"prompt": "Count:", **body}).encode())
    assert request is not None
    return request


def token_log() -> TokenLog:
    kept = TokenLog()
    for number, (id, text) in enumerate(list(SAID.items())[:3], 1):
        kept.add(0.0, StreamPiece((id,), number, text, text))
    return kept


def answer(ask: Ask) -> Any:
    if ask.body.get("with_pieces"):
        return {"tokens": [{"id": 15, "piece": " four"}]}
    if ask.path == "/tokenize":
        return {"tokens": PROMPT}
    if ask.path == "/detokenize":
        return {"content": "".join(SAID[id] for id in ask.body["tokens"])}
    return {"prompt": "Count:"} if ask.path == "/apply-template" else {"id_slot": 4}


def go(
    request: CompletionRequest, how: How, kept: TokenLog | None = None, steps: int = 99
) -> tuple[list[Ask], ContinuationRequest]:
    asks: list[Ask] = []
    script = continuation(request, kept or token_log(), how, lambda done, total: done == steps)
    reply: Any = None
    while True:
        try:
            asks.append(script.send(reply))
        except StopIteration as end:
            return asks, end.value
        reply = answer(asks[-1])


def replayed(asks: list[Ask]) -> list[list[int]]:
    return [ask.body["prompt"] for ask in asks if ask.path == "/completion"]


def test_tokens_are_sent_one_by_one_and_the_last_with_the_rest() -> None:
    asks, request_for_rest = go(completion(max_tokens=10), "exact")
    assert replayed(asks) == [PROMPT, [*PROMPT, 11], [*PROMPT, 11, 12]]
    assert all(ask.body["n_predict"] == 0 for ask in asks if ask.path == "/completion")
    assert [ask.body.get("id_slot") for ask in asks if ask.path == "/completion"] == [None, 4, 4]
    assert request_for_rest.body["prompt"] == [*PROMPT, *IDS]
    assert (
        request_for_rest.body["n_predict"],
        request_for_rest.body["id_slot"],
        request_for_rest.body["cache_prompt"],
    ) == (7, 4, True)


def test_tokens_are_sent_as_one_batch() -> None:
    asks, request_for_rest = go(completion(cache_prompt=False), "fast")
    assert replayed(asks) == []
    assert request_for_rest.body["prompt"] == [*PROMPT, *IDS]
    assert (request_for_rest.body["n_predict"], request_for_rest.body["cache_prompt"]) == (-1, False)


def test_a_replay_that_takes_too_long_ends_as_a_batch() -> None:
    asks, request_for_rest = go(completion(), "exact", steps=1)
    assert replayed(asks) == [PROMPT, [*PROMPT, 11]]
    assert request_for_rest.body["prompt"] == [*PROMPT, *IDS]


def test_a_chat_goes_on_as_text() -> None:
    request = completion("/v1/chat/completions", messages=[], temperature=0, max_tokens=9, logprobs=False)
    asks, request_for_rest = go(request, "fast")
    assert asks[0].path == "/apply-template"
    assert request_for_rest.path == "/v1/completions"
    assert request_for_rest.body == {
        "temperature": 0,
        "prompt": [*PROMPT, *IDS],
        "n_predict": 6,
        "stream": True,
        "verbose": True,
    }


def test_a_prompt_of_ids_is_taken_as_it_is() -> None:
    asks, request_for_rest = go(completion(prompt=[7, 8]), "fast")
    assert [ask.path for ask in asks] == ["/detokenize"]
    assert request_for_rest.body["prompt"] == [7, 8, *IDS]


def test_where_the_limit_was_reached_only_the_end_is_asked_for() -> None:
    asks, request_for_rest = go(completion(max_tokens=3), "exact")
    assert replayed(asks) == []
    assert (request_for_rest.body["n_predict"], request_for_rest.ending) == (0, "limit")


def test_ids_that_are_not_to_be_found_end_it() -> None:
    kept = token_log()
    kept.add(0.0, StreamPiece((15,), 6, " four", " four"))
    with pytest.raises(CannotContinue, match="not known"):
        go(completion(), "fast", kept)
