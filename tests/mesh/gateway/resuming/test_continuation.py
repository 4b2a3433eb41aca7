import json
from typing import Any

import pytest

from mesh.gateway.resuming.continuation import (
    Ask,
    CannotContinue,
    ContinuationRequest,
    HeldSlot,
    continuation,
)
from mesh.gateway.resuming.dialects import StreamPiece
from mesh.gateway.resuming.pace import How
from mesh.gateway.resuming.request import CompletionRequest, read_request
from mesh.gateway.resuming.resume_request import ResumeRequest, SaidText
from mesh.gateway.resuming.token_log import TokenLog

PROMPT = [1, 2]
SAID = {11: "one", 12: " two", 13: " three", 15: " four", 14: "</s>"}


IDS = (11, 12, 13)
SLOT = HeldSlot(4, True)


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
    return {"prompt": "Count:"} if ask.path == "/apply-template" else {}


def go(
    request: CompletionRequest, how: How, kept: TokenLog | None = None, steps: int = 99, full: bool = False
) -> tuple[list[Ask], ContinuationRequest]:
    tokens = (kept or token_log()).tokens()
    return run(ResumeRequest(request.path, request.body, tokens, None, how, full=full), steps)


def run(
    request: ResumeRequest, steps: int = 99, slot: HeldSlot = SLOT
) -> tuple[list[Ask], ContinuationRequest]:
    asks: list[Ask] = []
    script = continuation(request, slot, lambda done, total: done == steps)
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
    assert [ask.body["id_slot"] for ask in asks if ask.path == "/completion"] == [4, 4, 4]
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
        "id_slot": 4,
        "cache_prompt": True,
    }


def test_a_prompt_of_ids_is_taken_as_it_is() -> None:
    asks, request_for_rest = go(completion(prompt=[7, 8]), "fast")
    assert [ask.path for ask in asks] == ["/detokenize"]
    assert request_for_rest.body["prompt"] == [7, 8, *IDS]


def test_where_the_limit_was_reached_only_the_end_is_asked_for() -> None:
    asks, request_for_rest = go(completion(max_tokens=3), "exact")
    assert replayed(asks) == []
    assert (request_for_rest.body["n_predict"], request_for_rest.taken_up.ending) == (0, "limit")


def test_ids_that_are_not_to_be_found_end_it() -> None:
    kept = token_log()
    kept.add(0.0, StreamPiece((15,), 6, " four", " four"))
    with pytest.raises(CannotContinue, match="not known"):
        go(completion(), "fast", kept)


def test_an_answer_that_a_stop_string_ended_only_needs_its_last_event() -> None:
    kept = TokenLog()
    for number, (id, text) in enumerate(((11, "one"), (12, " t")), 1):
        kept.add(0.0, StreamPiece((id,), number, text, text))
    asks, request_for_rest = go(completion(stop="wo"), "exact", kept)
    assert replayed(asks) == []
    assert (request_for_rest.taken_up.ending, request_for_rest.body["n_predict"]) == ("word", 0)
    assert request_for_rest.body["prompt"] == [*PROMPT, 11]
    assert request_for_rest.taken_up.last == (" t", "")


def test_text_that_was_held_back_until_the_end_of_an_answer_stays_in_the_prompt() -> None:
    kept = TokenLog()
    kept.add(0.0, StreamPiece((11,), 1, "one", "one"))
    kept.add(0.0, StreamPiece((12,), 2, "", ""))
    kept.add(0.0, StreamPiece((14,), 3, " two", " two"))
    asks, request_for_rest = go(completion(stop=["twofold"]), "exact", kept)
    assert replayed(asks) == []
    assert (request_for_rest.taken_up.ending, request_for_rest.body["n_predict"]) == ("eos", 0)
    assert request_for_rest.body["prompt"] == [*PROMPT, 11, 12]
    assert request_for_rest.taken_up.last == (" two", " two")


def test_in_a_full_context_the_last_token_makes_room_for_the_one_that_is_dropped() -> None:
    _, request_for_rest = go(completion(), "fast", full=True)
    assert (request_for_rest.taken_up.ending, request_for_rest.body["n_predict"]) == ("full", 0)
    assert request_for_rest.body["prompt"] == [*PROMPT, 11, 12]
    assert request_for_rest.taken_up.last == (" three", "")


def reuses(asks: list[Ask], request_for_rest: ContinuationRequest) -> list[bool]:
    """Whether each request that touches the slot may use what is in it."""
    bodies = [*(ask.body for ask in asks if ask.path == "/completion"), request_for_rest.body]
    assert {body["id_slot"] for body in bodies} == {4}
    return [body["cache_prompt"] for body in bodies]


CHAT = {"messages": [{"role": "user", "content": "Count"}]}


@pytest.mark.parametrize("body", [{"prompt": "Count:"}, {"prompt": "Count:", "cache_prompt": False}])
@pytest.mark.parametrize("mine", [True, False])
def test_what_is_in_the_slot_is_used_if_it_may_be_and_what_was_replayed_always(
    body: dict[str, Any], mine: bool
) -> None:
    slot = HeldSlot(4, mine)
    expected = mine and "cache_prompt" not in body
    for how, wanted in (("exact", [expected, True, True, True]), ("fast", [expected])):
        request = ResumeRequest("/completion", body, token_log().tokens(), None, how)  # type: ignore[arg-type]
        assert reuses(*run(request, slot=slot)) == wanted


@pytest.mark.parametrize("mine", [True, False])
def test_a_chat_goes_on_from_its_text_on_the_slot_that_is_held(mine: bool) -> None:
    said = SaidText("hm", "one two", 2)
    request = ResumeRequest("/v1/chat/completions", {**CHAT, "max_tokens": 9}, None, said, "fast")
    asks, request_for_rest = run(request, slot=HeldSlot(4, mine))
    assert reuses(asks, request_for_rest) == [mine]
    assert request_for_rest.taken_up.by_text is True
    assert request_for_rest.body["n_predict"] == 7
    message = {"role": "assistant", "reasoning_content": "hm", "content": "one two"}
    assert request_for_rest.body["messages"] == [*CHAT["messages"], message]


def test_a_chat_whose_ids_are_not_to_be_found_goes_on_from_its_text() -> None:
    kept = token_log()
    kept.add(0.0, StreamPiece((15,), 6, " four", " four"))
    said = SaidText("", "one two three four", 6)
    request = ResumeRequest("/v1/chat/completions", CHAT, kept.tokens(), said, "fast")
    assert run(request)[1].taken_up.by_text is True


@pytest.mark.parametrize(
    ("path", "more", "why"),
    [
        ("/completion", {"prompt": "Count:", "grammar": "root ::= x"}, "it has a grammar"),
        ("/completion", {"prompt": ["a", "b"]}, "several prompts"),
        ("/completion", {"prompt": 7}, "no completion"),
        ("/completion", {"prompt": "Count:"}, "no chat"),
        ("/v1/chat/completions", {"messages": "Count"}, "media"),
    ],
)
def test_what_nobody_should_have_asked_for_is_not_done(path: str, more: dict[str, Any], why: str) -> None:
    with pytest.raises(CannotContinue, match=why):
        run(ResumeRequest(path, more, None, SaidText("", "one", 1), "exact"))
