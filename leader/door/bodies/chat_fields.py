"""A chat as the engine gets it: messages, tools and what goes with them, each written anew. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from leader.door.bodies.fields import (
    INT32,
    MOST_NESTED,
    Dropped,
    Rule,
    a_list,
    an_object,
    boolean,
    nesting,
    one_of,
    rebuilt,
    text,
    whole,
)
from leader.door.bodies.json_bodies import checked, written
from leader.door.bodies.pictures import (
    MOST_PICTURES,
    MOST_PIXELS,
    WrongPicture,
    decoded,
    encoded,
    pixels,
)
from leader.door.bodies.sampling_fields import ANSWER, ENGINES_OWN, settled
from leader.door.grammars.grammar_rules import Effort
from leader.door.grammars.schemas import check_schema
from leader.door.orders import EngineFacts, Unacceptable

MOST_MESSAGES = 4096
MOST_PARTS = 1024
MOST_CALLS = 512
MOST_TOOLS = 512
MOST_NAME = 256
MOST_TEXT = 4 << 20
"""Characters of text in a request: tokenizing takes the engine some fifty-five bytes of memory for each."""
MOST_MEDIA = 32 << 20
"""Of pictures, in base64."""
MOST_RULES_OF_TOOLS = 20_000
MOST_KWARGS = 65_536

_BASE64 = re.compile(r"[A-Za-z0-9+/=_-]+")
_DATA = re.compile(r"data:image/[A-Za-z0-9.+-]{1,64};base64,")

_READS_TEXT_ALONE = (
    "what is served reads text alone, no pictures: "
    "an owner serves it with its projector, by mesh serve MODEL --mmproj FILE"
)

_TEXT = text(MOST_TEXT)
_NAME = text(MOST_NAME)


class Chat:
    """Writes one chat anew; what it leaves out is named in ``dropped``, and its media are counted."""

    def __init__(self, facts: EngineFacts, dropped: Dropped) -> None:
        self._facts = facts
        self._dropped = dropped
        self.media = 0
        self._pictures = 0
        self._pixels = 0

    def body(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The fields for the engine, ``n`` and ``n_cmpl`` among them."""
        rules: dict[str, Rule] = {**ANSWER, **ENGINES_OWN, **OF_CHATS}
        rules["messages"] = self._messages
        rules["tools"] = self._tools
        rules["tool_choice"] = _tool_choice
        rules["response_format"] = self._response_format
        if given.get("messages") is None:
            raise Unacceptable("messages", "is required")
        built = settled(rebuilt(given, rules, self._facts, self._dropped), self._facts)
        if not built.get("logprobs"):
            built.pop("logprobs", None)
        return _with_the_one_tool(built)

    def _messages(self, value: Any, field: str, facts: EngineFacts) -> list[dict[str, Any]]:
        messages = a_list(value, field, MOST_MESSAGES)
        return [self._message(message, field, index) for index, message in enumerate(messages)]

    def _message(self, message: Any, field: str, index: int) -> dict[str, Any]:
        place = f"{field}.{index}"
        given = an_object(message, place)
        rules = {**_OF_MESSAGES, "content": self._content, "tool_calls": self._calls}
        built = rebuilt(given, rules, self._facts, self._dropped, field, index)
        if "role" not in built:
            raise Unacceptable(f"{place}.role", "is required")
        if "content" not in built:
            if "content" not in given and "tool_calls" not in built:
                raise Unacceptable(f"{place}.content", "is required")
            # The engine wants the field, and takes null for no text.
            built["content"] = None
        return built

    def _content(self, value: Any, field: str, facts: EngineFacts) -> object:
        if isinstance(value, str):
            return _TEXT(value, field, facts)
        return self.parts(value, field, facts)

    def parts(self, value: Any, field: str, facts: EngineFacts) -> list[dict[str, Any]]:
        """The parts of a message, of text and of media."""
        parts = a_list(value, field, MOST_PARTS)
        return [self._part(part, field, index) for index, part in enumerate(parts)]

    def _part(self, part: Any, field: str, index: int) -> dict[str, Any]:
        place = f"{field}.{index}"
        kind = an_object(part, place).get("type")
        rules = {
            "text": {"type": _NAME, "text": _TEXT},
            "image_url": {"type": _NAME, "image_url": self._image},
        }.get(kind if isinstance(kind, str) else "")
        if rules is None:
            raise Unacceptable(f"{place}.type", "must be text or image_url: no sound is read here")
        built = rebuilt(part, rules, self._facts, self._dropped, field, index)
        if kind not in built:
            raise Unacceptable(f"{place}.{kind}", "is required")
        return built

    def _image(self, value: Any, field: str, facts: EngineFacts) -> dict[str, Any]:
        url = an_object(value, field).get("url")
        return {"url": self.media_data(url, f"{field}.url")}

    def media_data(self, value: Any, field: str) -> str:
        """Base64, bare or in a ``data:`` URI: another address the engine would fetch, or read."""
        if not isinstance(value, str):
            raise Unacceptable(field, "must be a string")
        if not self._facts.sees:
            raise Unacceptable(field, _READS_TEXT_ALONE)
        self.media += len(value)
        if self.media > MOST_MEDIA:
            raise Unacceptable(field, f"pictures must have at most {MOST_MEDIA} characters in all")
        begins = _DATA.match(value)
        head = begins[0] if begins else ""
        if (not head and value.startswith(("http", "file"))) or not _BASE64.fullmatch(value, len(head)):
            raise Unacceptable(
                field, "must be data:image/...;base64, with its data: the engine fetches nothing"
            )
        return head + self._picture(value[len(head) :], field)

    def _picture(self, text: str, field: str) -> str:
        """The same picture, written anew, so that the engine decodes what is judged here."""
        self._pictures += 1
        if self._pictures > MOST_PICTURES:
            raise Unacceptable(field, f"is one picture too many: a request may have {MOST_PICTURES}")
        try:
            content = decoded(text)
            self._pixels += pixels(content, MOST_PIXELS - self._pixels)
        except WrongPicture as error:
            raise Unacceptable(field, str(error)) from None
        return encoded(content)

    def _calls(self, value: Any, field: str, facts: EngineFacts) -> object:
        calls = a_list(value, field, MOST_CALLS)
        return [self._call(call, field, index) for index, call in enumerate(calls)] or None

    def _call(self, call: Any, field: str, index: int) -> dict[str, Any]:
        rules = {"id": _NAME, "type": one_of("function"), "function": self._called, "index": _whole_index}
        built = rebuilt(an_object(call, f"{field}.{index}"), rules, self._facts, self._dropped, field, index)
        if "function" not in built:
            raise Unacceptable(f"{field}.{index}.function", "is required")
        return {"type": "function", **built}

    def _called(self, value: Any, field: str, facts: EngineFacts) -> dict[str, Any]:
        rules = {"name": _NAME, "arguments": _arguments}
        built = rebuilt(an_object(value, field), rules, facts, self._dropped, field)
        if "name" not in built:
            raise Unacceptable(f"{field}.name", "is required")
        return {"arguments": "", **built}

    def _tools(self, value: Any, field: str, facts: EngineFacts) -> object:
        tools = a_list(value, field, MOST_TOOLS)
        rules, effort = 0, Effort()
        built = []
        for index, tool in enumerate(tools):
            place = f"{field}.{index}"
            shape = {"type": one_of("function"), "function": self._function}
            one = rebuilt(an_object(tool, place), shape, facts, self._dropped, field, index)
            if "function" not in one:
                raise Unacceptable(f"{place}.function", "is required")
            rules += check_schema(one["function"]["parameters"], f"{place}.function.parameters", effort)
            if rules > MOST_RULES_OF_TOOLS:
                raise Unacceptable(field, f"become more than {MOST_RULES_OF_TOOLS} rules of a grammar")
            built.append({"type": "function", **one})
        return built or None

    def _function(self, value: Any, field: str, facts: EngineFacts) -> dict[str, Any]:
        rules = {
            "name": _NAME,
            "description": _TEXT,
            "parameters": lambda value, field, facts: an_object(value, field),
            "strict": boolean,
        }
        built = rebuilt(an_object(value, field), rules, facts, self._dropped, field)
        if not built.get("name"):
            raise Unacceptable(f"{field}.name", "is required")
        return {"parameters": {}, **built}

    def _response_format(self, value: Any, field: str, facts: EngineFacts) -> object:
        rules: dict[str, Rule] = {
            "type": one_of("text", "json_object", "json_schema"),
            "schema": _schema,
            "json_schema": self._wrapped_schema,
        }
        return rebuilt(an_object(value, field), rules, facts, self._dropped, field)

    def _wrapped_schema(self, value: Any, field: str, facts: EngineFacts) -> object:
        rules: dict[str, Rule] = {
            "name": _NAME,
            "description": text(65_536),
            "strict": boolean,
            "schema": _schema,
        }
        return rebuilt(an_object(value, field), rules, facts, self._dropped, field)


def _schema(value: Any, field: str, facts: EngineFacts) -> object:
    check_schema(value, field)
    return value


def _whole_index(value: Any, field: str, facts: EngineFacts) -> None:
    """The place of a call in a stream: clients send it back; it says nothing."""


def _arguments(value: Any, field: str, facts: EngineFacts) -> object:
    """A string of JSON, or JSON: some templates take it apart, however deep it is."""
    if isinstance(value, str):
        if nesting(_TEXT(value, field, facts)) > MOST_NESTED:
            raise Unacceptable(field, f"is nested deeper than {MOST_NESTED} levels")
        return value
    checked(an_object(value, field), field)
    return written(value, field).decode()


def _tool_choice(value: Any, field: str, facts: EngineFacts) -> object:
    if isinstance(value, str):
        return one_of("auto", "none", "required")(value, field, facts)
    function = an_object(value, field).get("function")
    name = function.get("name") if isinstance(function, dict) else None
    if value.get("type") != "function" or not isinstance(name, str):
        raise Unacceptable(field, "must be auto, none, required, or name a function")
    return {"function": name}


def _with_the_one_tool(built: dict[str, Any]) -> dict[str, Any]:
    """A choice of one tool, of which the engine knows nothing: that tool alone is there, and required."""
    choice = built.get("tool_choice")
    if isinstance(choice, dict):
        named = [tool for tool in built.get("tools", ()) if tool["function"]["name"] == choice["function"]]
        if not named:
            raise Unacceptable("tool_choice", "names a function that is not among the tools")
        built["tools"] = named
        built["tool_choice"] = "required"
    return built


def _kwargs(value: Any, field: str, facts: EngineFacts) -> object:
    """What the template is told besides: it may walk through all of it, so it is kept small."""
    checked(an_object(value, field), field, levels=16, values=4096)
    if len(written(value, field)) > MOST_KWARGS:
        raise Unacceptable(field, f"must have at most {MOST_KWARGS} bytes")
    return value


_OF_MESSAGES: Mapping[str, Rule] = {
    "role": text(64),
    "name": _NAME,
    "tool_call_id": _NAME,
    "reasoning_content": _TEXT,
}

OF_CHATS: Mapping[str, Rule] = {
    "parallel_tool_calls": boolean,
    "add_generation_prompt": boolean,
    "chat_template_kwargs": _kwargs,
    "reasoning_effort": text(64),
    "thinking_budget_tokens": whole(-1, INT32),
    "logprobs": boolean,
    "top_logprobs": whole(0, 100),
}
"""Of chats alone, beside messages and tools."""

CHAT_NAMES = frozenset({*ANSWER, *OF_CHATS, "messages", "tools", "tool_choice", "response_format"})
"""All that a body of a chat may hold."""
