"""Requests of OpenAI's Responses API become chat completions."""

import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from leader.door.dialects.openai_responses import left_out, to_chat
from leader.door.orders import Unacceptable

TOOL = {"type": "function", "name": "look", "description": "sees", "parameters": {"type": "object"}}
FUNCTION = {"name": "look", "description": "sees", "parameters": {"type": "object"}}
OTHER = {**TOOL, "name": "listen"}
USER = {"role": "user", "content": "?"}


def chat(given: Any = "?", **body: Any) -> dict[str, Any]:
    return to_chat({"input": given, **body})[0]


def said(*items: dict[str, Any], **body: Any) -> Any:
    return chat(list(items), **body)["messages"]


def test_a_text_is_what_the_user_says() -> None:
    asked = {"model": "m", "temperature": 0.5, "top_p": 0.9, "store": False, "user": None}
    kept = {"model": "m", "temperature": 0.5, "top_p": 0.9, "store": False}
    assert chat(**asked, max_output_tokens=9) == {**kept, "max_tokens": 9, "messages": [USER]}


def test_a_stream_tells_its_usage_and_how_far_the_prompt_is() -> None:
    made = chat(stream=True, stream_options={"include_obfuscation": False})
    assert made["stream_options"] == {"include_usage": True}
    assert made["return_progress"] is True


def test_instructions_and_what_the_system_says_first_are_one_message() -> None:
    developer = {
        "type": "message",
        "role": "developer",
        "content": [{"type": "input_text", "text": "and kind"}],
    }
    later = {"role": "system", "content": "now in French"}
    assert said(developer, USER, later, instructions="be brief") == [
        {"role": "system", "content": "be brief\n\nand kind"},
        USER,
        later,
    ]


def test_the_items_of_a_turn_are_one_message_of_the_assistant() -> None:
    turn: list[dict[str, Any]] = [
        {
            "type": "reasoning",
            "id": "r",
            "summary": [],
            "content": [{"type": "reasoning_text", "text": "hm"}],
        },
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "see", "annotations": []}],
        },
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
        {"type": "function_call", "call_id": "c2", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "a cat"},
        {
            "type": "function_call_output",
            "call_id": "c2",
            "output": [{"type": "input_text", "text": "a dog"}],
        },
    ]
    calls = [
        {"id": id, "type": "function", "function": {"name": "look", "arguments": "{}"}} for id in ("c1", "c2")
    ]
    text = {"type": "text", "text": "see"}
    assert said(USER, *turn)[1:] == [
        {"role": "assistant", "content": [text], "reasoning_content": "hm", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "a dog"}]},
    ]


@pytest.mark.parametrize(
    "item",
    [
        {"role": "assistant", "content": "x"},
        {"role": "system", "content": "x"},
        {"role": "user", "content": [{"type": "input_text", "text": "x"}]},
        {"type": "reasoning", "summary": [{"text": "x" * 50}]},
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
    ],
)
def test_many_items_take_no_longer_each_than_few(item: dict[str, Any]) -> None:
    """Counted in calls and lines, as time depends on what else the machine does."""

    def steps(items: int) -> int:
        count = 0

        def step(*_: object) -> Any:
            nonlocal count
            count += 1
            return step

        before = sys.gettrace()
        sys.settrace(step)
        try:
            said(*[item] * items)
        finally:
            sys.settrace(before)
        return count

    assert steps(4000) < 12 * steps(400)


def test_thoughts_that_only_openai_can_read_are_left_out() -> None:
    sealed = {"type": "reasoning", "id": "r", "summary": [], "encrypted_content": "xx"}
    summary = {**sealed, "summary": [{"type": "summary_text", "text": "in short"}]}
    assert said(USER, sealed) == [USER]
    assert said(USER, summary)[1]["reasoning_content"] == "in short"


def test_an_image_is_a_part_of_what_the_user_says() -> None:
    url = "data:image/png;base64,AAAA"
    part = {"type": "input_image", "image_url": url, "detail": "auto"}
    assert said({"role": "user", "content": [part]})[0]["content"] == [
        {"type": "image_url", "image_url": {"url": url}}
    ]


@pytest.mark.parametrize("choice", ["auto", "none", "required", None])
def test_functions_are_the_chats_tools_and_others_are_left_out(choice: str | None) -> None:
    body = {"input": "?", "tools": [{"type": "web_search"}, {**TOOL, "strict": True}], "tool_choice": choice}
    made = to_chat(body)[0]
    assert made["tools"] == [{"type": "function", "function": {**FUNCTION, "strict": True}}]
    assert made.get("tool_choice") == choice
    assert left_out(body) == ("tools.0",)


@pytest.mark.parametrize(
    ("choice", "mode"),
    [
        ({"type": "function", "name": "look"}, "required"),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "look"}]}, "auto"),
    ],
)
def test_tools_chosen_by_name_are_the_only_ones(choice: dict[str, Any], mode: str) -> None:
    made = chat(tools=[OTHER, TOOL], tool_choice=choice)
    assert (made["tools"], made["tool_choice"]) == ([{"type": "function", "function": FUNCTION}], mode)


@pytest.mark.parametrize(
    ("form", "made"),
    [
        (None, None),
        ({"type": "text"}, None),
        ({"type": "json_object"}, {"type": "json_object"}),
        (
            {"type": "json_schema", "name": "a", "schema": {"type": "object"}, "strict": True},
            {
                "type": "json_schema",
                "json_schema": {"name": "a", "schema": {"type": "object"}, "strict": True},
            },
        ),
    ],
)
def test_the_form_of_the_text_is_the_chats_response_format(form: Any, made: Any) -> None:
    assert chat(text={"format": form, "verbosity": "low"}).get("response_format") == made


def test_an_effort_is_the_chats() -> None:
    assert chat(reasoning={"effort": "high", "summary": "auto"})["reasoning_effort"] == "high"
    assert "reasoning_effort" not in chat(reasoning={"effort": None})


def test_what_a_response_cannot_tell_is_left_out() -> None:
    body = {"input": "?", "n": 2, "top_logprobs": 3}
    assert to_chat(body)[0] == {"messages": [USER]}
    assert left_out(body) == ("n", "top_logprobs")


def _first(part: Any) -> dict[str, Any]:
    return {"given": [{"role": "user", "content": [part]}]}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"given": None}, "input"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"background": True}, "background"),
        ({"given": [{"type": "item_reference", "id": "x"}]}, "input.0.type"),
        ({"given": [{"type": "function_call", "call_id": "1", "name": "f"}]}, "input.0.arguments"),
        ({"given": [{"role": "owner", "content": "x"}]}, "input.0.role"),
        (_first({"type": "input_file", "file_id": "f"}), "input.0.content.0.type"),
        (_first({"type": "input_image", "image_url": "http://x"}), "input.0.content.0.image_url"),
        (_first({"type": "input_image", "file_id": "f"}), "input.0.content.0.image_url"),
        ({"tools": [{"type": "function"}]}, "tools.0.name"),
        ({"tool_choice": {"type": "web_search"}}, "tool_choice.type"),
        ({"tool_choice": "any"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "name": "fly"}, "tools": [TOOL]}, "tool_choice"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"reasoning": {"effort": 3}}, "reasoning.effort"),
    ],
)
def test_what_cannot_be_translated_is_blamed_by_the_clients_own_name(
    body: dict[str, Any], field: str
) -> None:
    with pytest.raises(Unacceptable) as raised:
        chat(**body)
    assert raised.value.field == field


_WORDS = st.sampled_from(
    (
        *("message", "function_call", "function_call_output", "reasoning", "input_text", "user", "assistant"),
        *("system", "function", "allowed_tools", "json_schema", "auto", ""),
    )
)
_KEYS = st.sampled_from(
    (
        *(
            "type",
            "role",
            "content",
            "text",
            "summary",
            "output",
            "call_id",
            "name",
            "arguments",
            "parameters",
        ),
        *("format", "schema", "effort", "mode", "tools", "image_url", "strict"),
    )
)
_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 9) | _WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=5),
    max_leaves=20,
)
_FIELDS = (
    "input",
    "instructions",
    "tools",
    "tool_choice",
    "text",
    "reasoning",
    "background",
    "stream",
    "metadata",
)


@given(st.dictionaries(st.sampled_from(_FIELDS), _VALUE))
@example({"input": [{"type": "message", "role": "system", "content": []}], "tools": 0})
@example({"input": [{"role": "system", "content": ["x"]}, {"role": "system", "content": "x"}]})
def test_no_body_is_too_strange_to_be_refused_or_translated(body: dict[str, Any]) -> None:
    try:
        to_chat(body)
    except Unacceptable:
        return
    left_out(body)
