"""Requests of Anthropic's Messages API become chat completions."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from leader.door.dialects.anthropic_messages import DEFAULT_MAX_TOKENS, left_out, to_chat
from leader.door.orders import Unacceptable

USER = {"role": "user", "content": "?"}
TOOL = {"name": "look", "description": "sees", "input_schema": {"type": "object"}}
FUNCTION = {"name": "look", "description": "sees", "parameters": {"type": "object"}}
OTHER = {**TOOL, "name": "listen"}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
URL = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def chat(**body: Any) -> dict[str, Any]:
    return to_chat({"messages": [USER], **body})[0]


def said(*messages: dict[str, Any]) -> Any:
    return chat(messages=list(messages))["messages"]


def test_a_plain_request_keeps_its_numbers() -> None:
    asked = {"model": "m", "max_tokens": 9, "temperature": 0.5, "top_p": 0.9, "top_k": 4, "seed": 1}
    assert chat(**asked) == {**asked, "messages": [USER]}


def test_a_stream_tells_its_usage_and_how_far_the_prompt_is() -> None:
    made = chat(stream=True)
    assert made["stream"] is True
    assert made["stream_options"] == {"include_usage": True}
    assert made["return_progress"] is True


def test_a_limit_that_is_left_out_is_llama_servers() -> None:
    assert chat()["max_tokens"] == DEFAULT_MAX_TOKENS
    assert chat(max_tokens=None)["max_tokens"] == DEFAULT_MAX_TOKENS


def test_stop_sequences_are_told_apart_from_other_ends() -> None:
    made, repeats = to_chat({"messages": [USER], "stop_sequences": ["END"]})
    assert (made["stop"], made["verbose"], repeats["stop_sequences"]) == (["END"], True, ["END"])
    assert "verbose" not in chat(verbose=True)


@pytest.mark.parametrize(
    ("system", "content"),
    [
        ("be brief", "be brief"),
        ([{"type": "text", "text": "be "}, {"type": "text", "text": "brief"}], "be brief"),
        (
            [
                {"type": "text", "text": "x-anthropic-billing-header: v=2; cch=a5145;"},
                {"type": "text", "text": "You", "cache_control": {"type": "ephemeral"}},
            ],
            "x-anthropic-billing-header: v=2; cch=fffff;You",
        ),
        ("x-anthropic-billing-header: cch=12", "x-anthropic-billing-header: cch=12"),
        ("x-anthropic-billing-header: none", "x-anthropic-billing-header: none"),
        ("say cch=a5145;", "say cch=a5145;"),
    ],
)
def test_the_system_prompt_is_one_text_that_does_not_change_by_itself(system: Any, content: str) -> None:
    assert chat(system=system)["messages"] == [{"role": "system", "content": content}, USER]


def test_an_empty_system_prompt_is_none() -> None:
    assert chat(system="")["messages"] == [USER]
    assert chat(system=[])["messages"] == [USER]


def test_text_and_images_of_a_user_are_parts_in_their_order() -> None:
    text = {"type": "text", "text": "what?", "cache_control": {"type": "ephemeral"}}
    parts = [URL, {"type": "text", "text": "what?"}]
    assert said({"role": "user", "content": [IMAGE, text]}) == [{"role": "user", "content": parts}]


def test_results_of_tools_stand_before_what_the_user_says_of_them() -> None:
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "42"}
    parts = [{"type": "text", "text": part} for part in ("and", "so")]
    assert said({"role": "user", "content": [result, *parts]}) == [
        {"role": "tool", "tool_call_id": "t1", "content": "42"},
        {"role": "user", "content": parts},
    ]


@pytest.mark.parametrize(
    ("result", "content"),
    [
        ({}, ""),
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "ab"),
        ({"content": "no such file", "is_error": True}, "Error: no such file"),
        ({"content": [IMAGE]}, [URL]),
        ({"content": [IMAGE], "is_error": True}, [{"type": "text", "text": "Error: "}, URL]),
    ],
)
def test_a_tools_result_is_told_with_its_failure(result: dict[str, Any], content: Any) -> None:
    block = {"type": "tool_result", "tool_use_id": "t1", **result}
    assert said({"role": "user", "content": [block]})[0]["content"] == content


@pytest.mark.parametrize(
    ("block", "text"),
    [
        ({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a"}}, "a"),
        (
            {
                "type": "document",
                "title": "T",
                "source": {"type": "content", "content": [{"type": "text", "text": "a"}]},
            },
            "T\na",
        ),
        (
            {
                "type": "search_result",
                "source": "s",
                "title": "T",
                "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
            },
            "T\na\nb",
        ),
    ],
)
def test_documents_of_text_are_read(block: dict[str, Any], text: str) -> None:
    assert said({"role": "user", "content": [block]})[0]["content"] == [{"type": "text", "text": text}]
    result = {"type": "tool_result", "tool_use_id": "t", "content": [block]}
    assert said({"role": "user", "content": [result]})[0]["content"] == text


def test_what_only_servers_can_read_of_a_tools_result_is_left_out_and_named() -> None:
    parts = [{"type": "tool_reference", "tool_name": "look"}, {"type": "text", "text": "found"}]
    result = {"type": "tool_result", "tool_use_id": "t", "content": parts}
    body: dict[str, Any] = {"messages": [USER, {"role": "user", "content": [result]}]}
    assert said(*body["messages"])[1]["content"] == "found"
    assert left_out(body) == ("messages.1.content.0.content.0",)


def test_a_turn_of_the_assistant_is_one_message() -> None:
    turn = [
        {"type": "thinking", "thinking": "hm", "signature": ""},
        {"type": "redacted_thinking", "data": "xx"},
        {"type": "text", "text": "see"},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
        {"type": "tool_use", "id": "t1", "name": "look", "input": {"x": "é"}},
    ]
    function = {"name": "look", "arguments": '{"x":"é"}'}
    assert said(USER, {"role": "assistant", "content": turn}, USER)[1] == {
        "role": "assistant",
        "content": [{"type": "text", "text": "see"}],
        "reasoning_content": "hm",
        "tool_calls": [{"id": "t1", "type": "function", "function": function}],
    }


def test_an_answer_that_the_client_began_is_gone_on_with() -> None:
    made = chat(messages=[USER, {"role": "assistant", "content": "The best is ("}])
    assert (made["continue_final_message"], made["add_generation_prompt"]) == (True, False)
    parts = [{"type": "text", "text": part} for part in ("The best ", "is (")]
    made, repeats = to_chat({"messages": [USER, {"role": "assistant", "content": parts}]})
    assert made["messages"][-1]["content"] == repeats["begun"] == "The best is ("
    called = {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {}}]}
    assert "continue_final_message" not in chat(messages=[USER, called])


@pytest.mark.parametrize(
    ("choice", "made"),
    [
        (None, {}),
        ({"type": "auto"}, {}),
        ({"type": "any"}, {"tool_choice": "required"}),
        ({"type": "none"}, {"tool_choice": "none"}),
        ({"type": "auto", "disable_parallel_tool_use": True}, {"parallel_tool_calls": False}),
    ],
)
def test_a_choice_among_the_tools_is_the_chats(choice: Any, made: dict[str, Any]) -> None:
    tools = [{"type": "function", "function": FUNCTION}]
    whole = chat(tools=[TOOL], tool_choice=choice)
    assert {name: value for name, value in whole.items() if "tool" in name} == {"tools": tools, **made}


def test_a_tool_that_must_be_called_is_the_only_one() -> None:
    made = chat(tools=[OTHER, TOOL], tool_choice={"type": "tool", "name": "look"})
    assert made["tools"] == [{"type": "function", "function": FUNCTION}]
    assert made["tool_choice"] == "required"


def test_tools_of_anthropics_servers_are_left_out_and_named() -> None:
    search = {"type": "web_search_20250305", "name": "web_search"}
    body = {"messages": [USER], "tools": [search, {**TOOL, "type": "custom"}], "n": 2}
    assert [tool["function"]["name"] for tool in to_chat(body)[0]["tools"]] == ["look"]
    assert left_out(body) == ("n", "tools.0")
    alone = chat(tools=[search], tool_choice={"type": "any"})
    assert "tools" not in alone
    assert "tool_choice" not in alone


@pytest.mark.parametrize(
    ("asked", "made"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, {"thinking_budget_tokens": 2048}),
        ({"thinking": {"type": "disabled"}}, {"reasoning_effort": "none"}),
        ({"thinking": {"type": "adaptive"}}, {}),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}, {"reasoning_effort": "low"}),
        (
            {"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}},
            {"reasoning_effort": "none"},
        ),
    ],
)
def test_thinking_is_the_chats_effort_or_budget(asked: dict[str, Any], made: dict[str, Any]) -> None:
    assert chat(**asked) == {**chat(), **made}


@pytest.mark.parametrize("name", ["output_config", "output_format"])
def test_an_answer_of_a_schema_is_asked_for(name: str) -> None:
    form = {"type": "json_schema", "schema": {"type": "object"}}
    made = chat(**{name: {"format": form} if name == "output_config" else form})
    assert made["response_format"]["json_schema"]["schema"] == {"type": "object"}


def _first(block: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [block]}]}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"messages": None}, "messages"),
        ({"messages": [{"role": "owner", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        (
            _first({"type": "image", "source": {"type": "url", "url": "x"}}),
            "messages.0.content.0.source.type",
        ),
        (_first({"type": "video"}), "messages.0.content.0.type"),
        (_first({"type": "document", "source": {"type": "base64"}}), "messages.0.content.0.source.type"),
        (_first({"type": "search_result"}), "messages.0.content.0.content"),
        (_first({"type": "text"}), "messages.0.content.0.text"),
        (_first({"type": "tool_result"}), "messages.0.content.0.tool_use_id"),
        (
            _first({"type": "tool_result", "tool_use_id": "1", "content": [{"type": "document"}]}),
            "messages.0.content.0.content.0.source",
        ),
        ({"system": [{"type": "image"}]}, "system.0.type"),
        ({"tools": [{"input_schema": {}}]}, "tools.0.name"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "fly"}}, "tool_choice.name"),
        ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"stop_sequences": "END"}, "stop_sequences"),
        ({"thinking": {"type": "enabled", "budget_tokens": "much"}}, "thinking.budget_tokens"),
        ({"output_format": {"type": "xml"}}, "output_format.type"),
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
        "text",
        "image",
        "tool_use",
        "tool_result",
        "thinking",
        "user",
        "assistant",
        "base64",
        "auto",
        "tool",
        "",
    )
)
_KEYS = st.sampled_from(
    (
        *(
            "type",
            "role",
            "content",
            "text",
            "source",
            "data",
            "media_type",
            "id",
            "name",
            "input",
            "thinking",
        ),
        *("tool_use_id", "is_error", "input_schema", "budget_tokens", "format", "effort", "schema"),
    )
)
_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 9) | _WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=5),
    max_leaves=20,
)
_FIELDS = (
    "messages",
    "system",
    "tools",
    "tool_choice",
    "stop_sequences",
    "thinking",
    "output_config",
    "stream",
)


@given(st.dictionaries(st.sampled_from(_FIELDS), _VALUE))
@example({"messages": [], "tools": 0, "tool_choice": []})
def test_no_body_is_too_strange_to_be_refused_or_translated(body: dict[str, Any]) -> None:
    try:
        to_chat(body)
    except Unacceptable:
        return
    left_out(body)
