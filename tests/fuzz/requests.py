"""Requests to the leader's door as nobody would send them, of all fields that llama-server knows.

``random_request`` mixes what is right, what is at the edges, what is of the wrong type and what is meant to
harm. The names and kinds of fields are those of the pinned source (``engine_fields``).
"""

import json
from collections.abc import Callable
from random import Random
from typing import Any

from tests.fuzz.engine_fields import known_fields

PATHS = (
    "/v1/chat/completions",
    "/chat/completions",
    "/v1/completions",
    "/completion",
    "/completions",
    "/v1/responses",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/chat/completions/input_tokens",
    "/v1/embeddings",
    "/embeddings",
    "/infill",
    "/tokenize",
    "/detokenize",
    "/apply-template",
    "/rerank",
)
ODD_PATHS = (
    "/",
    "",
    "*",
    "/slots",
    "/slots/0?action=save",
    "/slots/0?action=restore",
    "/slots/1?action=erase",
    "/%73lots/0?action=save",
    "//slots/0",
    "/./slots",
    "/slots/../slots/0?action=save",
    "/props",
    "/metrics",
    "/lora-adapters",
    "/tools",
    "/v1/stream/abc",
    "/v1/streams/lookup",
    "/v1/chat/completions/control",
    "/models/load",
    "/cors-proxy?url=http://127.0.0.1",
    "/v1/audio/transcriptions",
    "/v1/chat/completions/",
    "/V1/chat/completions",
    "/v1/chat/completions;x",
    "/v1/chat/completions#x",
    "/v1/chat/completions?id_slot=1&x",
    "/completion%00",
    "/completion\x00",
    "/v1\\completions",
    "/\xff\xfe",
    "http://127.0.0.1/completion",
    "/" + "a" * 9000,
)
METHODS = ("GET", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "post", "CONNECT", "")

Make = Callable[[Random], Any]


def random_request(random: Random) -> tuple[str, bytes, bytes]:
    """Method, target and body of one request."""
    method = "POST" if random.random() < 0.95 else random.choice(METHODS)
    odd = random.random() < 0.08
    target = random.choice(ODD_PATHS if odd else PATHS)
    if random.random() < 0.03:
        target += random.choice(("?", "?x=1", "?id_slot=0&action=save", "?%00", "?" + "a&" * 500))
    body = request_of(random, target.partition("?")[0])
    return method, target.encode("latin-1"), spoilt(random, body)


def request_of(random: Random, path: str) -> dict[str, Any]:
    """A body for a path: what it needs, and then some."""
    body = dict(_needed(random, path))
    for _ in range(random.choice((0, 0, 1, 1, 2, 3, 5, 12))):
        name = random.choice(_NAMES)
        body[name] = value_of(random, name)
    if random.random() < 0.02:
        body.update({name: value_of(random, name) for name in _NAMES})
    if random.random() < 0.1:
        body[random.choice(("zz", "__proto__", "", "id_slot ", "\x00", "é" * 200))] = _anything(random)
    if random.random() < 0.7:
        body[random.choice(("n_predict", "max_tokens"))] = random.randrange(12)
    return body


def value_of(random: Random, name: str) -> Any:
    """A value for a field: right, nearly right, or of another kind."""
    dice = random.random()
    if dice < 0.6 and name in _SHAPES:
        return _SHAPES[name](random)
    if dice < 0.85:
        return _KINDS.get(_KNOWN.get(name, "json"), _anything)(random)
    return _anything(random)


def spoilt(random: Random, body: dict[str, Any]) -> bytes:
    """The body's bytes, now and then no JSON."""
    data = json.dumps(body, ensure_ascii=random.random() < 0.9).encode("utf-8", "surrogatepass")
    dice = random.random()
    if dice < 0.95 or not data:
        return data
    at = random.randrange(len(data))
    return random.choice(
        (
            data[:at],
            data[:at] + bytes([random.randrange(256)]) + data[at + 1 :],
            b"[" * 50_000,
            b'{"a":' * 20_000,
            b"[" + data + b"]",
            b"\xef\xbb\xbf" + data,
            data + data,
            b'{"prompt":"a","seed":' + b"9" * 6000 + b"}",
            b'{"prompt":"a","temperature":1e99999}',
            b'{"prompt":"a","prompt":' + data + b"}",
            data.decode("utf-8", "replace").encode("utf-16"),
            b"",
            b"null",
        )
    )


# --- values by kind


def _bool(random: Random) -> Any:
    return random.choice((True, False, True, False, None, 0, 1, "true"))


def _num(random: Random) -> Any:
    edges = (0, 1, -1, 2, 5, 0.5, 64, 100, 2**31 - 1, 2**31, -(2**31), 2**32 - 1, 2**63, -(2**63), 2**64)
    odd = (1e-45, 1e38, 1e39, 1e308, -1e308, float("nan"), float("inf"), -float("inf"), 10**400, "1", None)
    return random.choice(edges if random.random() < 0.8 else odd)


def _str(random: Random) -> Any:
    return random.choice(
        (
            "",
            "a",
            "hello there",
            "é\u4e2d\U0001f600",
            "\ud800",
            "\x00",
            "a" * random.choice((100, 5000, 100_000)),
            "[" * 3000,
            "<|im_start|>system<|im_end|></s><s>",
            "none",
            "auto",
            "%n%s%d",
            "../../etc/passwd",
        )
    )


def _anything(random: Random, depth: int = 0) -> Any:
    dice = random.random()
    if depth > 3 or dice < 0.5:
        return random.choice((_bool, _num, _str))(random)
    if dice < 0.55:
        return _deep(random.choice((10, 70, 400)), random.random() < 0.5)
    count = random.choice((0, 1, 2, 3, 20))
    if dice < 0.8:
        return [_anything(random, depth + 1) for _ in range(count)]
    return {random.choice(_NAMES): _anything(random, depth + 1) for _ in range(count)}


def _deep(levels: int, lists: bool) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value] if lists else {"a": value}
    return value


# --- prompts and chats


def _prompt(random: Random) -> Any:
    token = random.choice((1, 5, 300, 511, 512, 100_000, 2**31 - 1, 2**31, -1))
    return random.choice(
        (
            "The capital of France is",
            "",
            [1, 2, token],
            [[1, 2], [3, token]],
            ["a", "b", "c"],
            ["a", 1, "b", token],
            [],
            [[]],
            ["a"] * random.choice((5, 64, 65, 2000)),
            {"prompt_string": "a"},
            {"prompt_string": "a", "multimodal_data": ["aGVsbG8="]},
            [{"prompt_string": "b"}, "a"],
            [1.5, 2],
            [True],
            _str(random),
        )
    )


def _message(random: Random) -> Any:
    content = random.choice(
        (
            "What is two and two?",
            "",
            None,
            _str(random),
            [{"type": "text", "text": "a"}, {"type": "text", "text": _str(random)}],
            [{"type": "image_url", "image_url": {"url": random.choice(_URLS)}}],
            [{"type": "input_audio", "input_audio": {"data": random.choice(_URLS), "format": "wav"}}],
            [{"type": random.choice(("media_marker", "video_url", "x")), "text": "a"}],
            _anything(random),
        )
    )
    message = {
        "role": random.choice(("user", "user", "assistant", "system", "tool", "x", 5)),
        "content": content,
    }
    if random.random() < 0.2:
        arguments = random.choice(('{"a":1}', "[" * 5000, {"a": 1}, "", _anything(random)))
        function = {"name": random.choice(("f", "", "x" * 5000)), "arguments": arguments}
        message["tool_calls"] = [{"id": "1", "type": "function", "function": function}]
    if random.random() < 0.2:
        message[random.choice(("name", "tool_call_id", "reasoning_content", "zz"))] = _anything(random)
    return message


_URLS = (
    "data:image/png;base64,iVBORw0KGgo=",
    "data:image/png;base64,!!!",
    "http://127.0.0.1:1/a.png",
    "file:///etc/passwd",
    "httpaaaa",
    "aGVsbG8=",
    "",
)


def _messages(random: Random) -> Any:
    return [_message(random) for _ in range(random.choice((0, 1, 1, 2, 3, 30)))]


def _tool(random: Random) -> Any:
    function = {
        "name": random.choice(("get", "set", "f1", "a" * 300, "", "é")),
        "description": "does it",
        "parameters": schema(random),
    }
    return {"type": random.choice(("function", "function", "web_search")), "function": function}


def _tools(random: Random) -> Any:
    return [_tool(random) for _ in range(random.choice((0, 1, 1, 3, 100)))]


# --- grammars and schemas


def schema(random: Random, depth: int = 0) -> Any:
    """A JSON schema, often one that a converter does not like."""
    if depth > 4 or random.random() < 0.3:
        return random.choice(_LEAVES)(random)
    inner = [schema(random, depth + 1) for _ in range(random.choice((1, 2, 3)))]
    names = [
        random.choice(("a", "b", "c", "é", "", "x" * 300, "-", "a b")) + str(at) for at in range(len(inner))
    ]
    made: dict[str, Any] = random.choice(
        (
            {"type": "object", "properties": dict(zip(names, inner, strict=True)), "required": names[:1]},
            {"type": "array", "items": inner[0], **_bounds(random, "Items")},
            {"type": "array", "prefixItems": inner},
            {random.choice(("anyOf", "oneOf", "allOf")): inner},
            {"type": ["object", "array", "null"], "properties": {"a": inner[0]}, "items": inner[-1]},
            {"type": ["object"] * random.choice((2, 10)), "properties": {"a": inner[0]}},
            {"type": "object", "properties": {"a": inner[0]}, "additionalProperties": inner[-1]},
        )
    )
    if depth == 0 and random.random() < 0.4:
        made["$defs"] = {name: schema(random, 2) for name in ("A", "B", "C")}
        made["$defs"]["L"] = {"$ref": "#/$defs/L"}
        made["$defs"]["M"] = {"anyOf": [{"$ref": "#/$defs/N"}, {"$ref": "#/$defs/N"}]}
        made["$defs"]["N"] = {"type": "array", "items": {"$ref": "#/$defs/M"}}
    return made


def _bounds(random: Random, what: str) -> dict[str, Any]:
    edges = (0, 1, 2, 50, 1999, 2000, 2001, 10**6, 2**31, -1, 1.5, "1")
    named = {f"min{what}": random.choice(edges), f"max{what}": random.choice(edges)}
    return {name: value for name, value in named.items() if random.random() < 0.5}


def _reference(random: Random) -> Any:
    targets = (
        "#/$defs/A",
        "#/$defs/B",
        "#/$defs/L",
        "#/$defs/M",
        "#/properties/a",
        "#",
        "#/",
        "http://a/b",
        5,
    )
    return {"$ref": random.choice(targets)}


def _number_schema(random: Random) -> Any:
    ends = (
        0,
        1,
        -1,
        10,
        99,
        10**14,
        10**15,
        10**17,
        2**53 - 1,
        -(2**53) + 1,
        2**63 - 1,
        -(2**63),
        1.5,
        1e300,
    )
    named = {
        name: random.choice(ends)
        for name in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
        if random.random() < 0.4
    }
    return {"type": random.choice(("integer", "number")), **named}


def _leaf(random: Random) -> Any:
    return random.choice(
        (
            {
                "type": random.choice(
                    ("string", "number", "integer", "boolean", "null", "object", "array", "x")
                )
            },
            {"enum": [random.choice(("a", 1, None, "é", '"\\')) for _ in range(random.choice((1, 3, 900)))]},
            {"const": _str(random)},
            {"type": "string", "format": random.choice(("date", "time", "date-time", "uuid", "email"))},
            {},
            True,
            _anything(random),
        )
    )


_LEAVES: tuple[Make, ...] = (
    _leaf,
    _reference,
    _number_schema,
    lambda random: {"type": "string", "pattern": pattern(random)},
    lambda random: {"type": "string", **_bounds(random, "Length")},
)


def pattern(random: Random, depth: int = 0) -> str:
    """A regular expression, mostly between its anchors."""
    if depth == 0:
        inner = "".join(pattern(random, 1) for _ in range(random.choice((1, 2, 3))))
        return f"^{inner}$" if random.random() < 0.9 else inner
    if depth > 5 or random.random() < 0.4:
        return random.choice(
            ("a", "b", ".", "[a-z]", "[^x]", "\\d", "\\.", '"', "[", "é", "x-y", "[z-a]", "\\x41")
        )
    inner = pattern(random, depth + 1)
    return random.choice(
        (
            f"({inner}){_times(random)}",
            f"(?:{inner}|{pattern(random, depth + 1)})",
            f"({inner}|{inner})*",
            inner + pattern(random, depth + 1),
            f"{inner}{_times(random)}",
            f"(?={inner})",
            "(" * random.choice((1, 99, 3000)) + inner,
        )
    )


def _times(random: Random) -> str:
    usual = ("*", "+", "?", "", "{0,9}", "{3}", "{2,}", "{1,99}")
    odd = ("{0,99}", "{99}", "{,3}", "{5,2}", "{0,2001}", "{1,2,3}", "{-1}", "{x}")
    return random.choice(usual if random.random() < 0.9 else odd)


def grammar(random: Random) -> str:
    """A grammar of llama.cpp's form, mostly one that can be read."""
    names = ["root", *random.sample(("a", "b", "c", "d", "e"), random.randrange(6))]
    rules = [f"{name} ::= {_alternatives(random, names, 0)}" for name in names]
    whole = "\n".join(rules)
    if random.random() < 0.1:
        at = random.randrange(len(whole))
        whole = whole[:at] + random.choice(("(", ")", '"', "|", "::=", "{9999999}", "\x00", "[")) + whole[at:]
    return whole


def _alternatives(random: Random, names: list[str], depth: int) -> str:
    sequences = [
        " ".join(_item(random, names, depth) for _ in range(random.choice((1, 1, 2, 3))))
        for _ in range(random.choice((1, 1, 2, 3)))
    ]
    return " | ".join(sequences) + (" |" if random.random() < 0.05 else "")


def _item(random: Random, names: list[str], depth: int) -> str:
    dice = random.random()
    times = _times(random) if random.random() < 0.25 else ""
    if dice < 0.7 or depth > 3:
        return (
            random.choice(
                ('"a"', '"ab"', "[a-c]", "[^a]", ".", '"\\n"', '""', "<[5]>", "!<[6]>", "[\\x41-z]")
            )
            + times
        )
    if dice < 0.85:
        return random.choice(names) + times
    if dice < 0.853:
        return "(" * 5000 + '"a"' + ")" * 5000
    return f"({_alternatives(random, names, depth + 1)}){times}"


def _format(random: Random) -> Any:
    return random.choice(
        (
            {"type": "json_object"},
            {"type": "text"},
            {"type": "json_object", "schema": schema(random)},
            {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema(random)}},
            {"type": "x"},
        )
    )


def _bias(random: Random) -> Any:
    pairs = [
        [random.choice((0, 5, 511, 512, 2**31, -1, "a", "")), _num(random)]
        for _ in range(random.choice((1, 5)))
    ]
    return random.choice(
        (pairs, {str(token): bias for token, bias in pairs}, [[i, False] for i in range(2000)])
    )


_SHAPES: dict[str, Make] = {
    "prompt": _prompt,
    "content": _prompt,
    "input": _prompt,
    "tokens": lambda random: random.choice(([1, 2, 3], [10**6], [-1], ["a"], [1.5], [2**31], [5] * 5000)),
    "messages": _messages,
    "tools": _tools,
    "tool_choice": lambda random: random.choice(
        ("auto", "none", "required", "x", {"type": "function", "function": {"name": "get"}}, {})
    ),
    "grammar": grammar,
    "json_schema": schema,
    "response_format": _format,
    "logit_bias": _bias,
    "stop": lambda random: random.choice(
        ("a", ["a", "b"], [], [""], ["x" * 5000], ["a"] * 100, [1], _str(random))
    ),
    "samplers": lambda random: random.choice(
        (["top_k", "infill", "dry"], "kfypmt", ["x"], [], ["top_k"] * 50, "zz", ["infill"], "ik")
    ),
    "dry_sequence_breakers": lambda random: random.choice((["\n"], [], ["a"] * 50, ["x" * 60] * 32, [1])),
    "response_fields": lambda random: random.choice(
        (["content"], ["a/b/c"], ["/"], ["x" * 500], ["a"] * 100)
    ),
    "grammar_triggers": lambda random: [{"type": random.randrange(10), "value": "(a*)*"}],
    "chat_template_kwargs": lambda random: random.choice(
        ({"enable_thinking": False}, {"messages": []}, {"a": _deep(100, True)}, {"a": ["x"] * 10_000})
    ),
    "stream_options": lambda random: {"include_usage": _bool(random)},
    "chat_parser": lambda random: '{"type":"sequence","children":[0]}',
    "n": lambda random: random.choice((1, 2, 3, 64, 65, 0, -1)),
    "n_predict": lambda random: random.randrange(12),
    "max_tokens": lambda random: random.randrange(12),
    "max_completion_tokens": lambda random: random.randrange(12),
    "input_extra": lambda random: [{"text": "a", "filename": "b"}] * random.choice((0, 1, 5)),
    "documents": lambda random: ["a", "b"],
    "query": lambda random: "a",
}
_KINDS: dict[str, Make] = {"bool": _bool, "num": _num, "str": _str}
_KNOWN = known_fields()
_NAMES = sorted(
    {*_KNOWN, *_SHAPES, "thinking", "instructions", "system", "stop_sequences", "max_output_tokens"}
)


def _needed(random: Random, path: str) -> dict[str, Any]:
    """What makes a body be looked at at all."""
    if random.random() < 0.05:
        return {}
    if "chat" in path or path == "/apply-template":
        return {"messages": _messages(random)}
    if "messages" in path:
        return {"model": "m", "max_tokens": 8, "messages": _messages(random), "system": _str(random)}
    if "responses" in path:
        return {"model": "m", "input": random.choice(("Hello", _messages(random), _anything(random)))}
    if path == "/infill":
        return {"input_prefix": _str(random), "input_suffix": _str(random)}
    if path == "/rerank":
        return {"query": "a", "documents": ["a", "b"]}
    if path == "/detokenize":
        return {"tokens": _SHAPES["tokens"](random)}
    if "embedding" in path:
        return {"input": _prompt(random)}
    return {"content": _prompt(random)} if path == "/tokenize" else {"prompt": _prompt(random)}
