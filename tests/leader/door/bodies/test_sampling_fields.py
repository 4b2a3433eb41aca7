from typing import Any

import pytest

from leader.door.bodies.fields import Dropped, rebuilt
from leader.door.bodies.sampling_fields import ENGINES_OWN, LENGTHS, NATIVE, settled
from leader.door.orders import EngineFacts, Unacceptable
from tests.fuzz.engine_fields import LIST, as_text, fields_in, known_fields, pinned_source

FACTS = EngineFacts("model", 8192, 4)
ELSEWHERE = {
    # Of chats, prompts and the objects in them.
    *("add_generation_prompt", "chat_template_kwargs", "messages", "parallel_tool_calls", "reasoning_effort"),
    *("response_format", "thinking_budget_tokens", "tool_choice", "tools", "top_logprobs", "arguments"),
    *("content", "data", "description", "filename", "function", "id", "image_url", "include_usage", "input"),
    *("input_audio", "input_extra", "input_prefix", "input_suffix", "multimodal_data", "name", "parameters"),
    *("prompt", "prompt_string", "reasoning_content", "role", "schema", "text", "tool_call_id", "tool_calls"),
    *("type", "url", "add_special", "parse_special", "with_pieces", "tokens", "documents", "texts", "query"),
    *("top_n", "return_text", "embd_normalize", "encoding_format"),
}
LEFT_OUT = {
    "sse_ping_interval": "the door tells by the engine's pings whether it is alive",
    "reasoning_control": "it prepares for requests that the door lets nobody make",
}
"""Fields of the engine's that change no word of an answer: dropped, as unknown ones are."""
NOWHERE = {
    # Read from no body that the door writes: control of answers, slots, and what is not implemented.
    *("action", "t_max_prompt_ms"),
}


def test_each_field_of_the_pinned_engine_has_its_place_in_a_table() -> None:
    ours = {*NATIVE, *ENGINES_OWN, *LEFT_OUT, *ELSEWHERE, *NOWHERE}
    assert set(known_fields()) - ours == set()


def test_the_list_of_fields_is_that_of_the_pinned_source() -> None:
    source = pinned_source()
    if source is None:
        pytest.skip("the engine's source is not in the cache")
    assert as_text(fields_in(source)) == LIST.read_text(encoding="utf-8")


def built(given: dict[str, Any]) -> dict[str, Any]:
    return settled(rebuilt(given, {**NATIVE, **ENGINES_OWN}, FACTS, Dropped()), FACTS)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"temperature": -1, "top_k": -1, "top_p": 7}, {"temperature": 0.0, "top_k": 0, "top_p": 1.0}),
        ({"seed": -1}, {"seed": -1}),
        ({"seed": 2**63 + 5}, {"seed": 5}),
        ({"stop": "a"}, {"stop": ["a"]}),
        ({"stop": ["", "b"]}, {"stop": ["b"]}),
        ({"stop": []}, {}),
        ({"max_tokens": 5, "n_predict": 7}, {"n_predict": 7}),
        ({"max_tokens": 5, "max_completion_tokens": 6}, {"max_completion_tokens": 6}),
        ({"logprobs": True}, {"logprobs": 1}),
        ({"logprobs": 5, "n_probs": 3}, {"n_probs": 3}),
        ({"cache_prompt": True}, {}),
        ({"cache_prompt": False}, {"cache_prompt": False}),
        ({"id_slot": -1, "n_keep": 0, "lora": [], "grammar_lazy": False}, {}),
        ({"repeat_last_n": 10**6}, {"repeat_last_n": 8192}),
        ({"logit_bias": {"5": -100, "word": False}}, {"logit_bias": {"5": -100.0, "word": False}}),
        ({"logit_bias": [[5, 1], ["a", False]]}, {"logit_bias": [[5, 1.0], ["a", False]]}),
        ({"samplers": ["top_k", "Temp"]}, {"samplers": ["top_k", "Temp"]}),
        ({"samplers": "kfy"}, {"samplers": "kfy"}),
        ({"samplers": ["top_k", "tfs_z", "typical_p"]}, {"samplers": ["top_k"]}),
        ({"grammar": "  "}, {}),
        ({"stream_options": {"include_usage": True, "x": 1}}, {"stream_options": {"include_usage": True}}),
    ],
)
def test_fields_are_written_as_the_engine_takes_them(given: dict[str, Any], kept: dict[str, Any]) -> None:
    assert built(given) == kept


@pytest.mark.parametrize(
    "given",
    [
        {"id_slot": 0},
        {"id_slot": False},
        {"n_keep": -1},
        {"n_cache_reuse": 1},
        {"grammar_triggers": [{"type": 9}]},
        {"chat_parser": "{}"},
        {"lora": [{"id": 0, "scale": 1}]},
        {"speculative.n_max": 5},
        {"n_predict": -2},
        {"n_probs": 101},
        {"min_keep": 10**6},
        {"logit_bias": [[at, 1] for at in range(1025)]},
        {"logit_bias": [[-1, 1]]},
        {"logit_bias": [[5]]},
        {"logit_bias": {"a": True}},
        {"stop": ["a"] * 65},
        {"stop": [5]},
        {"stop": "x" * 513},
        {"samplers": [1]},
        {"samplers": ["top_k"] * 17},
        {"dry_sequence_breakers": []},
        {"dry_sequence_breakers": ["x"] * 33},
        {"dry_sequence_breakers": ["ab"]},
        {"dry_sequence_breakers": ["\u00e9"]},
        {"samplers": ["infill"]},
        {"samplers": "i"},
        {"samplers": "ik"},
        {"samplers": ["Infill", "top_k"]},
        {"samplers": ["top_k", "infill"], "top_k": 0},
        {"samplers": "ki", "top_k": 257},
        {"response_fields": ["x"] * 33},
        {"seed": 2**64},
        {"adaptive_decay": 1.0},
        {"n": 65},
        {"n": 0},
        {"grammar": 'root ::= "a"', "json_schema": {"type": "object"}},
        {"json_schema": []},
        {"continue_final_message": "x"},
        {"stream_options": []},
    ],
)
def test_a_field_out_of_bounds_or_of_the_engines_own_is_refused_by_name(given: dict[str, Any]) -> None:
    with pytest.raises(Unacceptable) as refused:
        built(given)
    assert refused.value.field in given


def test_an_answer_of_chosen_fields_says_what_it_cost_at_its_end() -> None:
    for asked in (["content"], ["timings", "prompt"]):
        given = built({"response_fields": asked})["response_fields"]
        assert set(given) == {*asked, "timings"}
        assert given[-1] == "timings"
    assert built({"response_fields": []}) == {"response_fields": []}


@pytest.mark.parametrize(
    ("given", "length"),
    [
        ({"n_probs": 10}, None),
        ({"n_probs": 100}, 1000),
        ({"logprobs": 100, "n_predict": 5000}, 1000),
        ({"n_probs": 100, "max_tokens": 999}, 999),
        ({"n_probs": 50, "n_predict": -1}, 2000),
        ({"n_probs": 100, "stream": True}, None),
    ],
)
def test_so_many_probabilities_end_an_answer_before_the_engines_memory(
    given: dict[str, Any], length: int | None
) -> None:
    made = built(given)
    assert next((made[name] for name in LENGTHS if name in made), None) == length
    assert sum(name in made for name in LENGTHS) <= 1


def test_a_long_stream_of_probabilities_ends_as_well() -> None:
    facts = EngineFacts("model", 131_072, 1)
    assert settled({"n_probs": 100, "stream": True}, facts)["n_predict"] == 10_000


@pytest.mark.parametrize("samplers", [["top_k", "top_p", "infill"], ["TOP-K", "infill"], "kpi"])
def test_infill_samples_from_a_few_tokens(samplers: Any) -> None:
    for few in ({}, {"top_k": 40}):
        given = {"samplers": samplers, **few}
        assert built(given) == given
