"""Several answers as the choices of one, and as llama-server's list."""

from typing import Any

import pytest

from leader.door.writers.merged_answers import ChoicesWriter, ListWriter
from tests.leader.door.writers.chat_streams import USAGE, delta, events, openai_client


def _chunk(id: str, **fields: Any) -> dict[str, Any]:
    return {**delta(**fields), "id": id, "created": ord(id)}


def _usage(id: str) -> dict[str, Any]:
    return {**delta(), "id": id, "choices": [], "usage": USAGE}


def test_openais_client_reads_two_streams_as_two_choices() -> None:
    writer = ChoicesWriter(wants_usage=True, one_prompt=True)
    raw = b"".join(
        [
            writer.event(0, _chunk("a", role="assistant", content=None)),
            writer.event(1, _chunk("b", content="one ")),
            writer.event(0, _chunk("a", content="zero")),
            writer.event(1, _chunk("b", content="more")),
            writer.event(1, _chunk("b", finish="stop")),
            writer.event(1, _usage("b")),
            writer.ended(1),
            writer.event(0, _chunk("a", finish="length")),
            writer.event(0, _usage("a")),
            writer.ended(0),
            writer.end(),
        ]
    )
    texts = {0: "", 1: ""}
    finishes: dict[int, str | None] = {}
    ids, usages = set(), []
    with openai_client(raw) as client:
        for chunk in client.chat.completions.create(model="m", messages=[], stream=True):
            ids.add((chunk.id, chunk.created))
            usages += [chunk.usage] if chunk.usage else []
            for choice in chunk.choices:
                texts[choice.index] += choice.delta.content or ""
                finishes[choice.index] = choice.finish_reason or finishes.get(choice.index)
    assert (texts, finishes) == ({0: "zero", 1: "one more"}, {0: "length", 1: "stop"})
    assert ids == {("a", 97)}
    [usage] = usages
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (12, 10, 22)
    assert raw.endswith(b"}\n\ndata: [DONE]\n\n")


def test_usage_comes_only_if_it_is_wanted() -> None:
    writer = ChoicesWriter(wants_usage=False, one_prompt=False)
    assert b"usage" not in writer.event(0, {**_chunk("a", content="x"), "usage": USAGE}) + writer.end()


@pytest.mark.parametrize(("one_prompt", "prompt"), [(True, 12), (False, 24)])
def test_a_prompt_counts_as_often_as_it_was_sent(one_prompt: bool, prompt: int) -> None:
    answers = [
        {"id": id, "object": "text_completion", "choices": [{"text": id, "index": 0}], "usage": USAGE}
        for id in "ab"
    ]
    whole = ChoicesWriter(False, one_prompt).whole(answers)
    assert whole["choices"] == [{"text": "a", "index": 0}, {"text": "b", "index": 1}]
    assert (whole["id"], whole["object"]) == ("a", "text_completion")
    assert (whole["usage"]["prompt_tokens"], whole["usage"]["completion_tokens"]) == (prompt, 10)


def test_own_answers_become_a_list_in_the_order_of_the_prompts() -> None:
    answers: list[dict[str, Any]] = [{"index": 0, "content": "a"}, {"index": 0, "content": "b"}]
    assert ListWriter().whole(answers) == [{"index": 0, "content": "a"}, {"index": 1, "content": "b"}]


def test_an_own_event_says_whose_it_is_and_nothing_follows_the_last() -> None:
    writer = ListWriter()
    raw = writer.event(1, {"index": 0, "content": "b", "stop": True}) + writer.ended(1) + writer.end()
    assert events(raw) == [(None, {"index": 1, "content": "b", "stop": True})]


@pytest.mark.parametrize("writer", [ChoicesWriter(True, True), ListWriter()])
def test_one_answers_error_ends_all(writer: ChoicesWriter | ListWriter) -> None:
    raw = writer.event(1, {"error": {"code": 500, "message": "m", "type": "t"}})
    assert events(raw)[0][1]["error"]["message"] == "m"
    assert writer.event(0, _chunk("a", content="x")) + writer.ended(0) + writer.end() == b""
