"""Bodies as clients of OpenAI's and llama.cpp's APIs send them: SDKs, coding agents, editors, frameworks.

Each is made after what the client's documents and source show, with texts of the length that agents send.
"""

import base64
from collections.abc import Iterator
from typing import Any

WORDS = "The quick brown fox reads the file, runs the tests and writes what it found. "


def a_text(size: int) -> str:
    """Prose of about ``size`` bytes, with code in it."""
    code = 'def f(x: "int") -> str:\n\treturn "\\n".join(str(i) for i in range(x))  # é 中\n'
    return ((WORDS * 4 + code) * (size // 300 + 1))[:size]


def a_picture(size: int) -> str:
    """The base64 of ``size`` bytes that begin as a JPEG does."""
    head = b"\xff\xd8\xff\xc0\0\x11\x08\0\x10\0\x10"
    return base64.b64encode(head + bytes(size - len(head))).decode()


def a_tool(number: int, strict: bool = False) -> dict[str, Any]:
    """A tool as Zod or Pydantic describe it."""
    properties: dict[str, Any] = {
        "path": {"type": "string", "description": "Absolute path of the file to work on.", "minLength": 1},
        "pattern": {"type": "string", "description": "A regular expression.", "pattern": r"^[^\n]{1,500}$"},
        "offset": {"type": "integer", "minimum": 0, "maximum": 9007199254740991},
        "limit": {"type": "integer", "exclusiveMinimum": 0, "default": 2000},
        "mode": {"type": "string", "enum": ["content", "files_with_matches", "count"]},
        "flags": {"type": "array", "items": {"type": "string"}, "maxItems": 20},
        "options": {
            "type": "object",
            "properties": {
                "deep": {"type": ["boolean", "null"]},
                "glob": {"anyOf": [{"type": "string"}, {}]},
            },
            "additionalProperties": False,
        },
        "todos": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "content": {"type": "string", "minLength": 1},
                    "status": {"type": "string", "enum": ["pending", "in_progress", "completed"]},
                    "id": {"type": "string", "format": "uuid"},
                },
                "required": ["content", "status", "id"],
                "additionalProperties": False,
            },
        },
    }
    function: dict[str, Any] = {
        "name": f"mcp__server_{number // 10}__do_thing_{number}",
        "description": a_text(900),
        "parameters": {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "properties": properties,
            "required": ["path"],
            "additionalProperties": False,
        },
    }
    if strict:
        function["strict"] = True
    return {"type": "function", "function": function}


def a_turn(number: int, size: int) -> list[dict[str, Any]]:
    """An agent's call of a tool, with what came of it."""
    call = {
        "id": f"call_{number:024x}",
        "type": "function",
        "function": {
            "name": "mcp__server_0__do_thing_1",
            "arguments": f'{{"path":"/src/a.py","offset":{number}}}',
        },
    }
    return [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": a_text(size)},
        {"role": "assistant", "content": a_text(300), "reasoning_content": a_text(200)},
        {"role": "user", "content": [{"type": "text", "text": a_text(100)}]},
    ]


def coding_agent() -> dict[str, Any]:
    """A hundred tools, a long system prompt, sixty turns: half a megabyte."""
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": a_text(30_000)},
        {"role": "user", "content": a_text(2000)},
    ]
    for number in range(60):
        messages += a_turn(number, 4000)
    return {
        "model": "qwen3-coder",
        "messages": messages,
        "tools": [a_tool(number) for number in range(100)],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "temperature": 0,
        "max_tokens": 32000,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def openai_sdk() -> dict[str, Any]:
    """The SDK's ``chat.completions.create`` with all that llama.cpp knows of it."""
    return {
        "model": "gpt-4o",
        "messages": [
            {"role": "developer", "content": "You are a helpful assistant."},
            {"role": "user", "content": "Hello!", "name": "bob"},
            {
                "role": "assistant",
                "content": "Hello, Bob.",
                "refusal": None,
                "annotations": None,
                "audio": None,
            },
            {"role": "user", "content": "And now?"},
        ],
        "frequency_penalty": 0.2,
        "presence_penalty": -0.2,
        "logit_bias": {"50256": -100},
        "logprobs": True,
        "top_logprobs": 5,
        "max_completion_tokens": 512,
        "n": 2,
        "reasoning_effort": "low",
        "seed": 42,
        "stop": ["\n\n", "END"],
        "temperature": 0.7,
        "top_p": 0.9,
        "tools": None,
        "response_format": {"type": "text"},
    }


def pydantic_output() -> dict[str, Any]:
    """Structured output as the SDK's ``parse`` and LangChain's ``with_structured_output`` ask for it."""
    step = {
        "type": "object",
        "title": "Step",
        "properties": {
            "explanation": {"title": "Explanation", "type": "string"},
            "output": {"type": "string"},
        },
        "required": ["explanation", "output"],
        "additionalProperties": False,
    }
    schema = {
        "type": "object",
        "title": "Reasoning",
        "$defs": {"Step": step},
        "properties": {
            "steps": {"type": "array", "items": {"$ref": "#/$defs/Step"}},
            "when": {"type": "string", "format": "date-time"},
            "score": {
                "anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "null"}],
                "default": None,
            },
            "final": {"$ref": "#/$defs/Step"},
        },
        "required": ["steps", "final"],
        "additionalProperties": False,
    }
    return {
        "model": "m",
        "messages": [{"role": "user", "content": "Solve 8x + 7 = -23"}],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "Reasoning", "strict": True, "schema": schema, "description": "Steps."},
        },
        "parallel_tool_calls": False,
    }


def langchain_tool_choice() -> dict[str, Any]:
    """LangChain's ``bind_tools(tool_choice=...)``."""
    choice = {"type": "function", "function": {"name": "mcp__server_0__do_thing_3"}}
    return {
        "model": "m",
        "messages": [{"role": "user", "content": "Do it."}],
        "tools": [a_tool(number, strict=True) for number in range(5)],
        "tool_choice": choice,
        "stream": False,
    }


def vercel_ai_sdk() -> dict[str, Any]:
    """Vercel's openai-compatible provider: parts, a picture, tools' answers as text."""
    picture = a_picture(100_000)
    return {
        "model": "m",
        "max_tokens": 4096,
        "temperature": 0.3,
        "messages": [
            {"role": "system", "content": "Answer briefly."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is in this picture?"},
                    {
                        "type": "image_url",
                        "image_url": {"url": f"data:image/png;base64,{picture}", "detail": "low"},
                    },
                ],
            },
        ],
        "tools": [a_tool(1)],
        "tool_choice": "auto",
        "stream": True,
    }


def llama_cpp_ui() -> dict[str, Any]:
    """llama-server's own page."""
    return {
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "return_progress": True,
        "reasoning_format": "auto",
        "temperature": 0.8,
        "dynatemp_range": 0,
        "dynatemp_exponent": 1,
        "top_k": 40,
        "top_p": 0.95,
        "min_p": 0.05,
        "xtc_probability": 0,
        "xtc_threshold": 0.1,
        "typ_p": None,
        "max_tokens": -1,
        "repeat_last_n": 64,
        "repeat_penalty": 1,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "dry_multiplier": 0,
        "dry_base": 1.75,
        "dry_allowed_length": 2,
        "dry_penalty_last_n": 131072,
        "samplers": [
            "penalties",
            "dry",
            "top_n_sigma",
            "top_k",
            "typ_p",
            "top_p",
            "min_p",
            "xtc",
            "temperature",
        ],
        "timings_per_token": True,
        "chat_template_kwargs": {"enable_thinking": False},
    }


def chats() -> Iterator[dict[str, Any]]:
    """All bodies of ``/v1/chat/completions``."""
    yield from (coding_agent(), openai_sdk(), pydantic_output(), langchain_tool_choice(), vercel_ai_sdk())
    yield llama_cpp_ui()


def pictures(size: int) -> dict[str, Any]:
    """A chat with ``size`` bytes of pictures in base64."""
    url = "data:image/jpeg;base64," + a_picture(size * 3 // 16)
    part = {"type": "image_url", "image_url": {"url": url}}
    return {"messages": [{"role": "user", "content": [part] * 4}], "max_tokens": 5}


def editor_infill() -> dict[str, Any]:
    """llama.vim and llama.vscode."""
    return {
        "id_slot": -1,
        "input_prefix": a_text(8000),
        "input_suffix": a_text(2000),
        "input_extra": [{"text": a_text(2000), "filename": f"src/{at}.py"} for at in range(16)],
        "prompt": "    return ",
        "n_predict": 128,
        "n_indent": 4,
        "top_k": 40,
        "top_p": 0.99,
        "stream": False,
        "samplers": ["top_k", "top_p", "infill"],
        "cache_prompt": True,
        "t_max_predict_ms": 1000,
        "response_fields": [
            "content",
            "timings/prompt_n",
            "timings/predicted_ms",
            "truncated",
            "tokens_cached",
        ],
    }


def front_end_completion() -> dict[str, Any]:
    """SillyTavern's kind of front end."""
    return {
        "prompt": a_text(60_000),
        "stream": True,
        "n_predict": 512,
        "n_probs": 10,
        "logit_bias": [[1234, False], [" the", -2.5]],
        "stop": ["\nUser:", "</s>"],
        "mirostat": 0,
        "mirostat_tau": 5,
        "mirostat_eta": 0.1,
        "n_keep": 0,
        "ignore_eos": False,
        "cache_prompt": True,
        "seed": -1,
        "typical_p": 1,
        "min_keep": 0,
        "grammar": "",
        "dry_sequence_breakers": ["\n", ":", '"', "*"],
        "post_sampling_probs": False,
    }
