"""Anthropic's Messages API, asked by way of chat completions. Pure.

https://docs.anthropic.com/en/api/messages. llama-server has a translation of its own, which loses what a
request says of its slot, of one tool by name, and of the order of texts and tools' results.
"""

from typing import Any, Final

from leader.door.bodies.body_values import json_at, list_at, object_at, text_at
from leader.door.bodies.tool_choices import only_named
from leader.door.orders import Unacceptable

DEFAULT_MAX_TOKENS: Final = 4096
"""Where a request says nothing, though Anthropic's API wants it said. llama-server's own default."""
NAMES_IN_CHAT: Final = {"max_tokens": "max_tokens", "stop_sequences": "stop"}
"""Fields that a chat completion calls otherwise, or not, to blame the client's own."""

_TRANSLATED: Final = frozenset(
    (
        *("messages", "system", "tools", "tool_choice", "stop_sequences", "thinking", "output_config"),
        *("output_format", "max_tokens", "stream_options"),
    )
)
_UNTOLD: Final = frozenset(("n", "n_cmpl", "logprobs", "top_logprobs", "verbose"))
"""Fields of chat completions whose answer a message cannot tell."""
_TOLD_BY_SERVERS: Final = frozenset(
    ("redacted_thinking", "server_tool_use", "mcp_tool_use", "tool_reference")
)
"""Blocks of earlier answers that only Anthropic's servers can read; so are the results of their tools."""
_BILLING: Final = "x-anthropic-billing-header:"


def to_chat(body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the body of a chat completion, and what the answer's writer must know.

    Fields of other names are kept as they are, for whoever reads chat completions to judge. Raises
    `Unacceptable` with the client's own name of the field.
    """
    chat = {
        name: value
        for name, value in body.items()
        if name not in _TRANSLATED and name not in _UNTOLD and value is not None
    }
    chat["messages"] = _system(body.get("system")) + _messages(body.get("messages"))
    repeats: dict[str, Any] = {"stop_sequences": [], "begun": ""}
    last = chat["messages"][-1] if chat["messages"] else {}
    if begun := _begun(last):
        # The answer goes on from the client's own beginning, and does not repeat it.
        chat |= {"continue_final_message": True, "add_generation_prompt": False}
        repeats["begun"] = last["content"] = begun
    chat["max_tokens"] = DEFAULT_MAX_TOKENS if body.get("max_tokens") is None else body["max_tokens"]
    chat |= _tools(body) | _thinking(body.get("thinking")) | _output(body)
    stops = body.get("stop_sequences")
    if stops:
        # Only a debugging answer tells whether it was one of these that ended it.
        chat |= {"stop": list_at(stops, "stop_sequences"), "verbose": True}
        repeats["stop_sequences"] = stops
    if body.get("stream") is True:
        chat |= {"stream_options": {"include_usage": True}, "return_progress": True}
    return chat, repeats


def left_out(body: dict[str, Any]) -> tuple[str, ...]:
    """Name what `to_chat` leaves out, of a body that it accepts."""
    out = [name for name in body if name in _UNTOLD]
    for number, tool in enumerate(body.get("tools") or ()):
        if not _is_custom(tool):
            out.append(f"tools.{number}")
    for number, message in enumerate(body["messages"]):
        content = message.get("content")
        for place, block in enumerate(content if isinstance(content, list) else ()):
            field = f"messages.{number}.content.{place}"
            if _is_told_by_servers(block["type"]):
                out.append(field)
            parts = block.get("content") if block["type"] == "tool_result" else ()
            for at, part in enumerate(parts if isinstance(parts, list) else ()):
                if _is_told_by_servers(part["type"]):
                    out.append(f"{field}.content.{at}")
    return tuple(out)


# --- what was said before ---------------------------------------------------------------------------------


def _system(system: object) -> list[dict[str, Any]]:
    if not system:
        return []
    if isinstance(system, str):
        return [{"role": "system", "content": _without_billing(system)}]
    texts = []
    for number, block in enumerate(list_at(system, "system")):
        field = f"system.{number}"
        block = object_at(block, field)
        if block.get("type", "text") != "text":
            raise Unacceptable(f"{field}.type", "the system prompt can only have text")
        texts.append(_without_billing(text_at(block.get("text"), f"{field}.text")))
    return [{"role": "system", "content": "".join(texts)}]


def _without_billing(text: str) -> str:
    """Put one number for all into a line whose number changes with each request, or no prompt is known."""
    place = text.find("cch=", len(_BILLING)) + 4 if text.startswith(_BILLING) else 3
    if place == 3 or text[place + 5 : place + 6] != ";":
        return text
    return text[:place] + "fffff" + text[place + 5 :]


def _messages(messages: object) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = []
    for number, message in enumerate(list_at(messages, "messages")):
        field = f"messages.{number}"
        message = object_at(message, field)
        role, content = message.get("role"), message.get("content")
        if role not in ("user", "assistant", "system"):
            raise Unacceptable(f"{field}.role", "must be user or assistant")
        if isinstance(content, str):
            said.append({"role": role, "content": content})
            continue
        blocks = [
            (object_at(block, f"{field}.content.{place}"), f"{field}.content.{place}")
            for place, block in enumerate(list_at(content, f"{field}.content"))
        ]
        said += _assistant(blocks) if role == "assistant" else _user(role, blocks)
    return said


def _user(role: str, blocks: list[tuple[dict[str, Any], str]]) -> list[dict[str, Any]]:
    """Keep the order: tools' results stand before what the user says of them."""
    said: list[dict[str, Any]] = []
    for block, field in blocks:
        if block.get("type") == "tool_result":
            said.append(_tool_result(block, field))
            continue
        if not said or said[-1]["role"] != role:
            said.append({"role": role, "content": []})
        said[-1]["content"].append(_part(block, field))
    return said


def _assistant(blocks: list[tuple[dict[str, Any], str]]) -> list[dict[str, Any]]:
    parts, calls, thoughts = [], [], []
    for block, field in blocks:
        kind = text_at(block.get("type"), f"{field}.type")
        if kind == "thinking":
            thoughts.append(text_at(block.get("thinking"), f"{field}.thinking"))
        elif kind == "tool_use":
            calls.append(_tool_use(block, field))
        elif not _is_told_by_servers(kind):
            parts.append(_part(block, field))
    if not parts and not calls and not thoughts:
        return []
    said: dict[str, Any] = {"role": "assistant", "content": parts or ""}
    if calls:
        said["tool_calls"] = calls
    if thoughts:
        said["reasoning_content"] = "".join(thoughts)
    return [said]


def _part(block: dict[str, Any], field: str) -> dict[str, Any]:
    kind = block.get("type")
    if kind == "text":
        return {"type": "text", "text": text_at(block.get("text"), f"{field}.text")}
    if kind == "search_result":
        return {"type": "text", "text": _titled(block, block.get("content"), f"{field}.content")}
    if kind == "document":
        source = object_at(block.get("source"), f"{field}.source")
        name = {"text": "data", "content": "content"}.get(str(source.get("type")))
        if name is None:
            raise Unacceptable(f"{field}.source.type", "the model reads documents of text alone")
        return {"type": "text", "text": _titled(block, source.get(name), f"{field}.source.{name}")}
    if kind == "image":
        source = object_at(block.get("source"), f"{field}.source")
        if source.get("type") != "base64":
            raise Unacceptable(
                f"{field}.source.type", "an image must come as base64: nothing is fetched here"
            )
        media = text_at(source.get("media_type", "image/jpeg"), f"{field}.source.media_type")
        data = text_at(source.get("data"), f"{field}.source.data")
        return {"type": "image_url", "image_url": {"url": f"data:{media};base64,{data}"}}
    raise Unacceptable(f"{field}.type", "the model reads text, images, and what tools gave")


def _titled(block: dict[str, Any], content: object, field: str) -> str:
    """Return a document's text, given as a string or in blocks, with its title before it."""
    texts = [block["title"]] if isinstance(block.get("title"), str) else []
    if isinstance(content, str):
        return "\n".join([*texts, content])
    for place, part in enumerate(list_at(content, field)):
        texts.append(text_at(object_at(part, f"{field}.{place}").get("text"), f"{field}.{place}.text"))
    return "\n".join(texts)


def _begun(last: dict[str, Any]) -> str:
    """Return the text by which the client began the answer; empty where it did not."""
    content = last.get("content", "")
    if last.get("role") != "assistant" or "tool_calls" in last:
        return ""
    if isinstance(content, str):
        return content
    return (
        "".join(part["text"] for part in content) if all(part["type"] == "text" for part in content) else ""
    )


def _tool_use(block: dict[str, Any], field: str) -> dict[str, Any]:
    arguments = json_at(object_at(block.get("input", {}), f"{field}.input"), f"{field}.input")
    name = text_at(block.get("name"), f"{field}.name")
    return {
        "id": text_at(block.get("id"), f"{field}.id"),
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def _tool_result(block: dict[str, Any], field: str) -> dict[str, Any]:
    content = block.get("content") or ""
    if not isinstance(content, str):
        content = [
            _part(object_at(part, f"{field}.content.{place}"), f"{field}.content.{place}")
            for place, part in enumerate(list_at(content, f"{field}.content"))
            if not _is_told_by_servers(object_at(part, f"{field}.content.{place}").get("type"))
        ]
        if all(part["type"] == "text" for part in content):
            content = "".join(part["text"] for part in content)
    if block.get("is_error") is True:
        # A chat completion has no other place to say that the call failed.
        said = "Error: "
        content = said + content if isinstance(content, str) else [{"type": "text", "text": said}, *content]
    call = text_at(block.get("tool_use_id"), f"{field}.tool_use_id")
    return {"role": "tool", "tool_call_id": call, "content": content}


def _is_told_by_servers(kind: object) -> bool:
    if not isinstance(kind, str) or kind == "tool_result":
        return False
    return kind in _TOLD_BY_SERVERS or kind.endswith("_tool_result")


# --- how to answer ----------------------------------------------------------------------------------------


def _tools(body: dict[str, Any]) -> dict[str, Any]:
    tools = [
        _tool(object_at(tool, f"tools.{number}"), f"tools.{number}")
        for number, tool in enumerate(list_at(body.get("tools") or [], "tools"))
        if _is_custom(tool)
    ]
    choice = object_at(body.get("tool_choice") or {}, "tool_choice")
    kind = choice.get("type", "auto")
    if kind not in ("auto", "any", "none", "tool"):
        raise Unacceptable("tool_choice.type", "must be auto, any, none or tool")
    if kind == "tool":
        field = "tool_choice.name"
        tools = only_named(tools, [text_at(choice.get("name"), field)], field)
    if not tools:
        return {}
    made: dict[str, Any] = {"tools": tools}
    if kind != "auto":
        made["tool_choice"] = "none" if kind == "none" else "required"
    if choice.get("disable_parallel_tool_use") is True:
        made["parallel_tool_calls"] = False
    return made


def _is_custom(tool: object) -> bool:
    """Whether the client describes the tool itself. Of the others only Anthropic's models know what to do."""
    return not isinstance(tool, dict) or tool.get("type") in (None, "custom")


def _tool(tool: dict[str, Any], field: str) -> dict[str, Any]:
    function: dict[str, Any] = {"name": text_at(tool.get("name"), f"{field}.name")}
    function["description"] = text_at(tool.get("description") or "", f"{field}.description")
    function["parameters"] = object_at(tool.get("input_schema") or {}, f"{field}.input_schema")
    return {"type": "function", "function": function}


def _thinking(thinking: object) -> dict[str, Any]:
    if thinking is None:
        return {}
    kind = object_at(thinking, "thinking").get("type")
    if kind == "disabled":
        return {"reasoning_effort": "none"}
    budget = object_at(thinking, "thinking").get("budget_tokens")
    if kind == "enabled" and budget is not None:
        if isinstance(budget, bool) or not isinstance(budget, int) or budget < 0:
            raise Unacceptable("thinking.budget_tokens", "must be a number of tokens")
        return {"thinking_budget_tokens": budget}
    return {}


def _output(body: dict[str, Any]) -> dict[str, Any]:
    config = object_at(body.get("output_config") or {}, "output_config")
    named = "output_config.format" if config.get("format") else "output_format"
    form = config.get("format") or body.get("output_format")
    made: dict[str, Any] = {}
    if form is not None:
        if object_at(form, named).get("type") != "json_schema":
            raise Unacceptable(f"{named}.type", "must be json_schema")
        schema = object_at(form.get("schema"), f"{named}.schema")
        made["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    thinking = body.get("thinking")
    disabled = isinstance(thinking, dict) and thinking.get("type") == "disabled"
    if config.get("effort") is not None and not disabled:
        made["reasoning_effort"] = text_at(config["effort"], "output_config.effort")
    return made
