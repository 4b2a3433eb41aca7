"""OpenAI's Responses API, asked by way of chat completions. Pure.

https://platform.openai.com/docs/api-reference/responses. Nothing is stored here: what a request says of
earlier responses cannot be known, so it is refused.
"""

from typing import Any, Final

from leader.door.bodies.body_values import json_at, list_at, object_at, text_at
from leader.door.bodies.tool_choices import only_named
from leader.door.orders import Unacceptable

NAMES_IN_CHAT: Final = {"max_output_tokens": "max_tokens", "input": "messages"}
"""Fields that a chat completion calls otherwise, to blame the client's own."""
MAX_REPEATED: Final = 8 << 10
"""Bytes of a field, as JSON, that the answer repeats, three times in a stream."""

_TRANSLATED: Final = frozenset(
    (
        *("input", "instructions", "tools", "tool_choice", "text", "reasoning", "max_output_tokens"),
        *("previous_response_id", "conversation", "background", "prompt", "messages", "stream_options"),
    )
)
_UNTOLD: Final = frozenset(("n", "n_cmpl", "logprobs", "top_logprobs", "verbose"))
"""Fields of chat completions whose answer a response cannot tell."""
_STATE: Final = {
    "previous_response_id": "no response is stored here: send what was said before as input",
    "conversation": "no conversation is stored here: send what was said before as input",
    "prompt": "no prompt is stored here: send it as instructions",
}
_REPEATED: Final[dict[str, Any]] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "reasoning": {"effort": None, "summary": None},
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
}
"""What a response tells of its request, and what it tells where the request says nothing."""


def to_chat(body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the body of a chat completion, and the fields that the response repeats.

    Fields of other names are kept as they are, for whoever reads chat completions to judge. Raises
    `Unacceptable` with the client's own name of the field.
    """
    for name, reason in _STATE.items():
        if body.get(name) is not None:
            raise Unacceptable(name, reason)
    if body.get("background") not in (None, False):
        raise Unacceptable("background", "an answer ends with its request: nothing is stored here")
    chat = {
        name: value
        for name, value in body.items()
        if name not in _TRANSLATED and name not in _UNTOLD and value is not None
    }
    chat["messages"] = _messages(body.get("instructions"), body.get("input"))
    if body.get("max_output_tokens") is not None:
        chat["max_tokens"] = body["max_output_tokens"]
    effort = object_at(body.get("reasoning") or {}, "reasoning").get("effort")
    if effort is not None:
        chat["reasoning_effort"] = text_at(effort, "reasoning.effort")
    chat |= _tools(body) | _form(body.get("text"))
    if body.get("stream") is True:
        chat |= {"stream_options": {"include_usage": True}, "return_progress": True}
    return chat, {name: _repeated(name, body.get(name)) for name in _REPEATED}


def left_out(body: dict[str, Any]) -> tuple[str, ...]:
    """Name what `to_chat` leaves out, of a body that it accepts."""
    out = [name for name in body if name in _UNTOLD]
    out += [
        f"tools.{number}" for number, tool in enumerate(body.get("tools") or ()) if not _is_function(tool)
    ]
    return tuple(out)


def _repeated(name: str, value: object) -> object:
    """Return a field as the response tells it. Its client has what is too long to be told three times."""
    default = _REPEATED[name]
    if value is None or (default is not None and name != "tool_choice" and type(value) is not type(default)):
        return default
    return value if len(json_at(value, name)) <= MAX_REPEATED else default


# --- what was said before ---------------------------------------------------------------------------------


def _messages(instructions: object, given: object) -> list[dict[str, Any]]:
    items = InputItems()
    if instructions:
        items.say("system", text_at(instructions, "instructions"))
    if isinstance(given, str):
        items.say("user", given)
        return items.messages()
    if not isinstance(given, list):
        raise Unacceptable("input", "must be a string, or an array of items")
    for number, item in enumerate(given):
        field = f"input.{number}"
        items.take(object_at(item, field), field)
    return items.messages()


class InputItems:
    """The items of an input, as messages of a chat.

    An assistant's turn is several items there (thoughts, a message, calls), and one message in a chat. A
    system's messages at the beginning become one: many templates take no more, and only there.
    """

    def __init__(self) -> None:
        self._system: list[str] = []
        self._said: list[dict[str, Any]] = []
        self._thoughts: list[tuple[dict[str, Any], list[str]]] = []

    def messages(self) -> list[dict[str, Any]]:
        """Return the messages. What came in pieces is joined here, once, or many pieces would take long."""
        for turn, thoughts in self._thoughts:
            turn["reasoning_content"] = "".join(thoughts)
        begin = [{"role": "system", "content": "\n\n".join(self._system)}] if self._system else []
        return begin + self._said

    def say(self, role: str, content: str | list[dict[str, Any]]) -> None:
        """Add a message, or say more in the last one."""
        if role == "assistant":
            parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
            turn = self._turn()
            turn["content"] = turn["content"] or []
            turn["content"] += parts
            return
        text = _joined(content)
        first = not self._said and (role == "system" or (role == "developer" and self._system))
        if first and text is not None:
            self._system.append(text)
        else:
            self._said.append({"role": role, "content": content})

    def take(self, item: dict[str, Any], field: str) -> None:
        """Take an item. Raises `Unacceptable`."""
        kind = item.get("type") or "message"
        if kind == "message":
            self._message(item, field)
        elif kind == "function_call":
            self._call(item, field)
        elif kind == "function_call_output":
            call = text_at(item.get("call_id"), f"{field}.call_id")
            content = _content(item.get("output"), f"{field}.output")
            self._said.append({"role": "tool", "tool_call_id": call, "content": content})
        elif kind == "reasoning":
            self._think(item, field)
        else:
            reason = "must be message, function_call, function_call_output or reasoning"
            raise Unacceptable(f"{field}.type", reason)

    def _message(self, item: dict[str, Any], field: str) -> None:
        role = item.get("role")
        if role not in ("user", "assistant", "system", "developer"):
            raise Unacceptable(f"{field}.role", "must be user, assistant, system or developer")
        self.say(role, _content(item.get("content"), f"{field}.content"))

    def _call(self, item: dict[str, Any], field: str) -> None:
        function = {name: text_at(item.get(name), f"{field}.{name}") for name in ("name", "arguments")}
        call = {"id": text_at(item.get("call_id"), f"{field}.call_id"), "type": "function"}
        self._turn().setdefault("tool_calls", []).append({**call, "function": function})

    def _think(self, item: dict[str, Any], field: str) -> None:
        """Take the thoughts themselves, or else their summary. Those that are encrypted say nothing here."""
        for name in ("content", "summary"):
            parts = list_at(item.get(name) or [], f"{field}.{name}")
            texts = [
                text_at(
                    object_at(part, f"{field}.{name}.{place}").get("text"), f"{field}.{name}.{place}.text"
                )
                for place, part in enumerate(parts)
            ]
            if texts:
                turn = self._turn()
                if not self._thoughts or self._thoughts[-1][0] is not turn:
                    self._thoughts.append((turn, []))
                self._thoughts[-1][1].extend(texts)
                return

    def _turn(self) -> dict[str, Any]:
        """Return the message of the assistant's present turn."""
        if not self._said or self._said[-1]["role"] != "assistant":
            self._said.append({"role": "assistant", "content": ""})
        return self._said[-1]


def _content(content: object, field: str) -> str | list[dict[str, Any]]:
    if isinstance(content, str):
        return content
    return [
        _part(object_at(part, f"{field}.{place}"), f"{field}.{place}")
        for place, part in enumerate(list_at(content, field))
    ]


def _part(part: dict[str, Any], field: str) -> dict[str, Any]:
    kind = part.get("type")
    if kind in ("input_text", "output_text", "text"):
        return {"type": "text", "text": text_at(part.get("text"), f"{field}.text")}
    if kind == "refusal":
        return {"type": "text", "text": text_at(part.get("refusal"), f"{field}.refusal")}
    if kind == "input_image":
        url = text_at(part.get("image_url"), f"{field}.image_url")
        if not url.startswith("data:"):
            raise Unacceptable(f"{field}.image_url", "must be a data: URL: nothing is fetched here")
        return {"type": "image_url", "image_url": {"url": url}}
    raise Unacceptable(f"{field}.type", "the model reads input_text, output_text, refusal and input_image")


def _joined(content: str | list[dict[str, Any]]) -> str | None:
    """Return a content that is only text as one string."""
    if isinstance(content, str):
        return content
    if any(part["type"] != "text" for part in content):
        return None
    return "\n".join(part["text"] for part in content)


# --- how to answer ----------------------------------------------------------------------------------------


def _tools(body: dict[str, Any]) -> dict[str, Any]:
    tools = [
        _tool(object_at(tool, f"tools.{number}"), f"tools.{number}")
        for number, tool in enumerate(list_at(body.get("tools") or [], "tools"))
        if _is_function(tool)
    ]
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        choice, names = _chosen(choice)
        tools = only_named(tools, names, "tool_choice")
    elif choice not in (None, "auto", "none", "required"):
        raise Unacceptable("tool_choice", "must be auto, none, required, or name functions")
    if not tools:
        return {}
    return {"tools": tools} if choice is None else {"tools": tools, "tool_choice": choice}


def _chosen(choice: dict[str, Any]) -> tuple[str, list[str]]:
    """Return the mode and the functions of a choice by name."""
    if choice.get("type") == "function":
        return "required", [text_at(choice.get("name"), "tool_choice.name")]
    if choice.get("type") != "allowed_tools":
        raise Unacceptable("tool_choice.type", "must be function or allowed_tools")
    mode = choice.get("mode", "auto")
    if mode not in ("auto", "required"):
        raise Unacceptable("tool_choice.mode", "must be auto or required")
    names = []
    for number, tool in enumerate(list_at(choice.get("tools"), "tool_choice.tools")):
        field = f"tool_choice.tools.{number}"
        if _is_function(object_at(tool, field)):
            names.append(text_at(tool.get("name"), f"{field}.name"))
    return mode, names


def _is_function(tool: object) -> bool:
    """Whether the client calls the tool itself; the others run on OpenAI's servers, or are no functions."""
    return not isinstance(tool, dict) or tool.get("type") == "function"


def _tool(tool: dict[str, Any], field: str) -> dict[str, Any]:
    function: dict[str, Any] = {"name": text_at(tool.get("name"), f"{field}.name")}
    function["description"] = text_at(tool.get("description") or "", f"{field}.description")
    function["parameters"] = object_at(tool.get("parameters") or {}, f"{field}.parameters")
    if isinstance(tool.get("strict"), bool):
        function["strict"] = tool["strict"]
    return {"type": "function", "function": function}


def _form(text: object) -> dict[str, Any]:
    form = object_at(object_at(text or {}, "text").get("format") or {}, "text.format")
    kind = form.get("type", "text")
    if kind == "text":
        return {}
    if kind == "json_object":
        return {"response_format": {"type": "json_object"}}
    if kind != "json_schema":
        raise Unacceptable("text.format.type", "must be text, json_object or json_schema")
    schema: dict[str, Any] = {"name": text_at(form.get("name", "answer"), "text.format.name")}
    schema["schema"] = object_at(form.get("schema"), "text.format.schema")
    if isinstance(form.get("strict"), bool):
        schema["strict"] = form["strict"]
    return {"response_format": {"type": "json_schema", "json_schema": schema}}
