import json
from typing import Any

import pytest

from mesh.gateway.resuming.continuation import Ask, CannotContinue, Onward, continuation
from mesh.gateway.resuming.dialects import Piece
from mesh.gateway.resuming.notes import Notes
from mesh.gateway.resuming.pace import How
from mesh.gateway.resuming.request import Asked, read_request

PROMPT = [1, 2]
SAID = {11: "one", 12: " two", 13: " three", 15: " four"}


IDS = (11, 12, 13)


def asked(path: str = "/completion", **body: Any) -> Asked:
    request = read_request(path, json.dumps({"prompt": "Count:", **body}).encode())
    assert request is not None
    return request


def notes() -> Notes:
    noted = Notes()
    for number, (id, text) in enumerate(list(SAID.items())[:3], 1):
        noted.add(0.0, Piece((id,), number, text, text))
    return noted


def answer(ask: Ask) -> Any:
    if ask.body.get("with_pieces"):
        return {"tokens": [{"id": 15, "piece": " four"}]}
    if ask.path == "/tokenize":
        return {"tokens": PROMPT}
    if ask.path == "/detokenize":
        return {"content": "".join(SAID[id] for id in ask.body["tokens"])}
    return {"prompt": "Count:"} if ask.path == "/apply-template" else {"id_slot": 4}


def go(request: Asked, how: How, noted: Notes | None = None, steps: int = 99) -> tuple[list[Ask], Onward]:
    asks: list[Ask] = []
    script = continuation(request, noted or notes(), how, lambda done, total: done == steps)
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
    asks, onward = go(asked(max_tokens=10), "exact")
    assert replayed(asks) == [PROMPT, [*PROMPT, 11], [*PROMPT, 11, 12]]
    assert all(ask.body["n_predict"] == 0 for ask in asks if ask.path == "/completion")
    assert [ask.body.get("id_slot") for ask in asks if ask.path == "/completion"] == [None, 4, 4]
    assert onward.body["prompt"] == [*PROMPT, *IDS]
    assert (onward.body["n_predict"], onward.body["id_slot"], onward.body["cache_prompt"]) == (7, 4, True)


def test_tokens_are_sent_as_one_batch() -> None:
    asks, onward = go(asked(cache_prompt=False), "fast")
    assert replayed(asks) == []
    assert onward.body["prompt"] == [*PROMPT, *IDS]
    assert (onward.body["n_predict"], onward.body["cache_prompt"]) == (-1, False)


def test_a_replay_that_takes_too_long_ends_as_a_batch() -> None:
    asks, onward = go(asked(), "exact", steps=1)
    assert replayed(asks) == [PROMPT, [*PROMPT, 11]]
    assert onward.body["prompt"] == [*PROMPT, *IDS]


def test_a_chat_goes_on_as_text() -> None:
    request = asked("/v1/chat/completions", messages=[], temperature=0, max_tokens=9, logprobs=False)
    asks, onward = go(request, "fast")
    assert asks[0].path == "/apply-template"
    assert onward.path == "/v1/completions"
    assert onward.body == {
        "temperature": 0,
        "prompt": [*PROMPT, *IDS],
        "n_predict": 6,
        "stream": True,
        "verbose": True,
    }


def test_a_prompt_of_ids_is_taken_as_it_is() -> None:
    asks, onward = go(asked(prompt=[7, 8]), "fast")
    assert [ask.path for ask in asks] == ["/detokenize"]
    assert onward.body["prompt"] == [7, 8, *IDS]


def test_where_the_limit_was_reached_only_the_end_is_asked_for() -> None:
    asks, onward = go(asked(max_tokens=3), "exact")
    assert replayed(asks) == []
    assert (onward.body["n_predict"], onward.ending) == (0, "limit")


def test_ids_that_are_not_to_be_found_end_it() -> None:
    noted = notes()
    noted.add(0.0, Piece((15,), 6, " four", " four"))
    with pytest.raises(CannotContinue, match="not known"):
        go(asked(), "fast", noted)
