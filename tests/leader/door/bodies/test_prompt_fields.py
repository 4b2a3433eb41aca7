from dataclasses import replace
from typing import Any

import pytest

from leader.door.bodies.fields import Dropped
from leader.door.bodies.prompt_fields import Prompts
from leader.door.orders import EngineFacts, Unacceptable
from tests.leader.door import agents
from tests.tiny_kinds import picture

PICTURE = picture(1, 2, 3).partition(",")[2]
FACTS = EngineFacts("model", 8192, 4, sees=True)


def prompts() -> Prompts:
    return Prompts(FACTS, Dropped())


@pytest.mark.parametrize(
    ("given", "several"),
    [
        ("a", ["a"]),
        ("", [""]),
        ([1, 2], [[1, 2]]),
        ([1, "a", 2], [[1, "a", 2]]),
        (["a", "b"], ["a", "b"]),
        ([[1], [2, "b"]], [[1], [2, "b"]]),
        ({"prompt_string": "a", "x": 1}, [{"prompt_string": "a"}]),
        (
            [{"prompt_string": "a", "multimodal_data": [PICTURE]}, "b"],
            [{"prompt_string": "a", "multimodal_data": [PICTURE]}, "b"],
        ),
    ],
)
def test_a_prompt_is_one_or_several_as_the_engine_tells_them_apart(given: Any, several: list[Any]) -> None:
    assert prompts().completion({"prompt": given})["prompt"] == several


@pytest.mark.parametrize(
    "given",
    [
        [],
        [[]],
        [1.5],
        [True],
        [1, -1],
        [1, 2**31],
        [1, None],
        [["a", ["b"]]],
        5,
        {},
        {"prompt_string": 5},
        {"prompt_string": "a", "multimodal_data": ["http://127.0.0.1/"]},
        ["a"] * 65,
        None,
    ],
)
def test_a_prompt_of_another_form_is_refused(given: Any) -> None:
    with pytest.raises(Unacceptable, match="prompt"):
        prompts().completion({"prompt": given})


def test_what_openai_has_and_the_engine_not_is_dropped_and_named() -> None:
    dropped = Dropped()
    body = Prompts(FACTS, dropped).completion({"prompt": "a", "suffix": "x", "best_of": 3})
    assert body == {"prompt": ["a"]}
    assert dropped.names == ["suffix", "best_of"]


def test_an_editors_infill_passes_with_nothing_dropped() -> None:
    given, dropped = agents.editor_infill(), Dropped()
    body = Prompts(FACTS, dropped).infill(given)
    assert dropped.names == []
    assert body.pop("response_fields") == [*given.pop("response_fields"), "timings"]
    assert body == {name: value for name, value in given.items() if name not in ("id_slot", "cache_prompt")}


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"input_suffix": ""}, "input_prefix"),
        ({"input_prefix": ""}, "input_suffix"),
        ({"input_prefix": "", "input_suffix": "", "prompt": ["a"]}, "prompt"),
        ({"input_prefix": "", "input_suffix": "", "input_extra": [{"filename": "a"}]}, "input_extra.0.text"),
    ],
)
def test_an_infill_lacking_a_part_is_refused(given: dict[str, Any], field: str) -> None:
    with pytest.raises(Unacceptable) as refused:
        prompts().infill(given)
    assert refused.value.field == field


@pytest.mark.parametrize(
    "given", ["a", ["a"] * 1000, [1, 2], [[1], [2]], [{"content": [{"type": "text", "text": "a"}]}]]
)
def test_inputs_to_embed_are_texts_ids_or_parts(given: Any) -> None:
    body = {"input": given, "model": "m", "encoding_format": "base64"}
    assert prompts().embeddings(body) == body


@pytest.mark.parametrize("given", [[], ["a"] * 2049, [{"content": [{"type": "x"}]}], [5.5], None])
def test_other_inputs_to_embed_are_refused(given: Any) -> None:
    with pytest.raises(Unacceptable):
        prompts().embeddings({"input": given})


def test_reranking_takes_either_name_for_documents() -> None:
    for name in ("documents", "texts"):
        given = {"query": "a", name: ["b", "c"], "top_n": 2, "return_text": True}
        assert prompts().rerank(given) == given
    wrong: list[dict[str, Any]] = [{"query": "a"}, {"documents": ["a"]}, {"query": "a", "texts": [5]}]
    for body in (*wrong, {"query": "a", "documents": ["a"], "top_n": -1}):
        with pytest.raises(Unacceptable):
            prompts().rerank(body)


def test_tokens_are_told_and_taken_as_they_are() -> None:
    given = {"content": ["a", 5], "add_special": True, "parse_special": False, "with_pieces": True}
    assert prompts().tokenize(given) == given
    assert prompts().detokenize({"tokens": [1, 2]}) == {"tokens": [1, 2]}
    for tokens in (["a"], [-1], [2**31], 5):
        with pytest.raises(Unacceptable):
            prompts().detokenize({"tokens": tokens})


@pytest.mark.parametrize("content", ["\U0001f600" * 131_072, [5] * 300_000, ["ab"] * 200_000])
def test_with_pieces_less_is_tokenized_at_a_time(content: Any) -> None:
    assert prompts().tokenize({"content": content, "with_pieces": False})
    with pytest.raises(Unacceptable) as caught:
        prompts().tokenize({"content": content, "with_pieces": True})
    assert caught.value.field == "content"


def test_tokens_that_the_model_has_not_are_no_text() -> None:
    small = Prompts(replace(FACTS, vocabulary=1024), Dropped())
    assert small.detokenize({"tokens": [1023]}) == {"tokens": [1023]}
    with pytest.raises(Unacceptable, match="ids of tokens"):
        small.detokenize({"tokens": [1, 1024]})


def test_a_front_ends_completion_passes_with_nothing_dropped() -> None:
    dropped = Dropped()
    body = Prompts(FACTS, dropped).completion(agents.front_end_completion())
    assert dropped.names == []
    assert body["logit_bias"] == [[1234, False], [" the", -2.5]]
