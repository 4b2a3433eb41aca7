import json
from typing import Any

import pytest

from leader.door.bodies.chat_fields import CHAT_NAMES, MOST_MEDIA, MOST_MESSAGES, Chat
from leader.door.bodies.fields import Dropped
from leader.door.bodies.pictures import MOST_PICTURES, MOST_PIXELS
from leader.door.orders import EngineFacts, Unacceptable
from tests.leader.door import agents
from tests.tiny_kinds import picture

FACTS = EngineFacts("model", 131072, 4, sees=True)
HELLO = [{"role": "user", "content": "Hello"}]


def built(given: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    dropped = Dropped()
    return Chat(FACTS, dropped).body(given), dropped.names


@pytest.mark.parametrize("given", list(agents.chats()))
def test_bodies_of_agents_pass_with_nothing_dropped(given: dict[str, Any]) -> None:
    body, dropped = built(given)
    assert dropped == []
    assert set(body) <= CHAT_NAMES
    assert len(body["messages"]) == len(given["messages"])
    for name in ("temperature", "max_tokens", "stream", "seed", "top_k"):
        assert body.get(name) == given.get(name)


def test_messages_and_tools_of_an_agent_are_as_they_were() -> None:
    given = agents.coding_agent()
    body, _ = built(given)
    assert len(json.dumps(given)) > 500_000
    assert body["messages"] == given["messages"]
    assert body["tools"] == given["tools"]


def test_a_choice_of_one_tool_leaves_that_tool_and_requires_it() -> None:
    """The engine knows of no choice by name, and would let the model choose."""
    body, _ = built(agents.langchain_tool_choice())
    assert [tool["function"]["name"] for tool in body["tools"]] == ["mcp__server_0__do_thing_3"]
    assert body["tool_choice"] == "required"


def test_what_is_unknown_is_dropped_wherever_it_stands() -> None:
    message = {"role": "user", "cache_control": {}, "content": [{"type": "text", "text": "a", "x": 1}]}
    tool = {"type": "function", "function": {"name": "f", "y": 1}, "z": 1}
    body, dropped = built(
        {"messages": [message, message], "tools": [tool], "user": "me", "chat_template": "{{x}}"}
    )
    assert body == {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}] * 2,
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
    }
    assert dropped == [
        *("messages.0.cache_control", "messages.0.content.0.x", "tools.0.function.y", "tools.0.z"),
        *("user", "chat_template"),
    ]


def test_pictures_are_taken_as_data_up_to_their_bound() -> None:
    dropped = Dropped()
    chat = Chat(FACTS, dropped)
    chat.body(agents.pictures(20 << 20))
    assert 20 << 20 <= chat.media < MOST_MEDIA
    with pytest.raises(Unacceptable):
        built(agents.pictures(MOST_MEDIA))


def test_a_model_of_text_alone_is_shown_no_images() -> None:
    blind = Chat(EngineFacts("model", 8192, 4), Dropped())
    with pytest.raises(Unacceptable, match="reads text alone") as refused:
        blind.body(image("data:image/png;base64,aaaa"))
    assert refused.value.field == "messages.0.content.0.image_url.url"


def image(url: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]}


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/a.png",
        "https://example.org/a.png",
        "HTTP://127.0.0.1",
        "httpaaaa",
        "file:///etc/passwd",
        "fileaaaa",
        "data:text/html;base64,aaaa",
        "data:image/png,aaaa",
        "data:image/png;base64,",
        "data:image/png;base64,a,b",
        "data:image/png;base64,!!!!",
        "/etc/passwd!",
        "",
        5,
        None,
    ],
)
def test_an_address_that_the_engine_would_fetch_or_read_is_refused(url: Any) -> None:
    with pytest.raises(Unacceptable) as refused:
        built(image(url))
    assert refused.value.field == "messages.0.content.0.image_url.url"


def test_sound_is_refused_in_words() -> None:
    part = {"type": "input_audio", "input_audio": {"data": "aGVsbG8=", "format": "wav"}}
    with pytest.raises(Unacceptable, match="no sound is read here") as refused:
        built({"messages": [{"role": "user", "content": [part]}]})
    assert refused.value.field == "messages.0.content.0.type"


def test_a_picture_is_written_anew_so_that_the_engine_decodes_what_was_judged() -> None:
    url = picture(255, 0, 0)
    body, _ = built(
        image(url.replace("+", "-").replace("/", "_").replace("data:image_png", "data:image/png"))
    )
    assert body["messages"][0]["content"][0]["image_url"] == {"url": url}


def test_pictures_are_counted_and_measured_together() -> None:
    part = image(picture(1, 2, 3))["messages"][0]["content"][0]
    with pytest.raises(Unacceptable, match="one picture too many"):
        built({"messages": [{"role": "user", "content": [part] * (MOST_PICTURES + 1)}]})
    side = 4096
    large = image(picture(1, 2, 3, side))["messages"][0]["content"][0]
    assert 2 * side * side == MOST_PIXELS
    built({"messages": [{"role": "user", "content": [large] * 2}]})
    with pytest.raises(Unacceptable, match="56 by 56 pixels") as refused:
        built({"messages": [{"role": "user", "content": [large, large, part]}]})
    assert refused.value.field == "messages.0.content.2.image_url.url"


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": {}}, "messages"),
        ({"messages": [5]}, "messages.0"),
        ({"messages": [{"content": "a"}]}, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{"type": "video_url"}]}]}, "messages.0.content.0.type"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages.0.content.0.text"),
        ({"messages": HELLO * (MOST_MESSAGES + 1)}, "messages"),
        ({"messages": HELLO, "tools": [{"type": "web_search"}]}, "tools.0.type"),
        ({"messages": HELLO, "tools": [{"type": "function"}]}, "tools.0.function"),
        ({"messages": HELLO, "tools": [agents.a_tool(1)] * 513}, "tools"),
        ({"messages": HELLO, "tool_choice": "x"}, "tool_choice"),
        ({"messages": HELLO, "tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice"),
        ({"messages": HELLO, "chat_template_kwargs": {"a": [0] * 5000}}, "chat_template_kwargs"),
        ({"messages": HELLO, "chat_template_kwargs": []}, "chat_template_kwargs"),
        ({"messages": HELLO, "reasoning_budget_start_tag": "<think>"}, "reasoning_budget_start_tag"),
        ({"messages": HELLO, "response_format": {"type": "x"}}, "response_format.type"),
        (
            {
                "messages": HELLO,
                "response_format": {"type": "json_schema", "json_schema": {"schema": {"$ref": 5}}},
            },
            "response_format.json_schema.schema",
        ),
        (
            {"messages": HELLO, "tools": [{"function": {"name": "f", "parameters": {"$ref": "#"}}}]},
            "tools.0.function.parameters",
        ),
    ],
)
def test_what_is_wrong_in_a_chat_is_named_by_its_place(given: dict[str, Any], field: str) -> None:
    with pytest.raises(Unacceptable) as refused:
        built(given)
    assert refused.value.field == field


def call(arguments: Any) -> dict[str, Any]:
    calls = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}]
    return {"messages": [{"role": "assistant", "tool_calls": calls}]}


def test_arguments_of_calls_become_text_and_are_not_nested_deeply() -> None:
    body, _ = built(call({"a": [1, "é"]}))
    assert body["messages"][0]["tool_calls"][0]["function"]["arguments"] == '{"a":[1,"é"]}'
    for arguments in ("[" * 5000, '{"a":' * 5000, 5):
        with pytest.raises(Unacceptable):
            built(call(arguments))


def test_the_hundred_tools_of_an_agent_are_far_within_the_bounds() -> None:
    given = agents.coding_agent()
    given["tools"] = [agents.a_tool(number) for number in range(400)]
    body, _ = built(given)
    assert len(body["tools"]) == 400


def test_so_many_probabilities_of_a_chat_end_it_before_the_engines_memory() -> None:
    given = {"messages": HELLO, "logprobs": True}
    assert built(given)[0]["n_predict"] == 5000
    assert built({**given, "top_logprobs": 100, "n_probs": 0, "max_tokens": 2000})[0]["max_tokens"] == 1000
    assert "n_predict" not in built({**given, "logprobs": False})[0]
