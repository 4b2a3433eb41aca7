"""What a completion request asks for, and whether another leader can continue its answer."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final


class Dialect(Enum):
    """In which of three shapes llama-server reports tokens."""

    NATIVE = "completion"
    TEXT = "text_completion"
    CHAT = "chat.completion"


DIALECTS: Final = {
    "/completion": Dialect.NATIVE,
    "/completions": Dialect.NATIVE,
    "/v1/completions": Dialect.TEXT,
    "/v1/chat/completions": Dialect.CHAT,
    "/chat/completions": Dialect.CHAT,
}

LIMITS: Final = ("n_predict", "max_completion_tokens", "max_tokens")
"""Names of the limit on generated tokens; llama-server takes the first that is present."""

# Fields that keep state in the server besides the tokens, or ask about earlier tokens.
_STATEFUL: Final = {
    "tools": "tool calls",
    "functions": "tool calls",
    "grammar": "a grammar",
    "json_schema": "a grammar",
    "logprobs": "log probabilities",
    "top_logprobs": "log probabilities",
    "n_probs": "log probabilities",
    "echo": "an echo of the prompt",
    "response_fields": "chosen fields",
    "verbose": "debugging output",
    "n_indent": "a limit on indentation",
    "reasoning_control": "a budget for reasoning",
}
_WITHOUT_LIMIT: Final = {
    "t_max_predict_ms": "a limit on time",
    "reasoning_budget_tokens": "a budget for reasoning",
    "thinking_budget_tokens": "a budget for reasoning",
}


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """A completion request.

    ``why_not_resumable`` names what in it cannot be continued, empty where all can be.

    ``limit`` is the most tokens to generate, None where there is no limit.
    """

    dialect: Dialect
    path: str
    body: Mapping[str, Any]
    streaming: bool
    limit: int | None
    why_not_resumable: str

    @property
    def wants_usage(self) -> bool:
        """Whether a stream shall end with a chunk about usage."""
        options = self.body.get("stream_options")
        return isinstance(options, dict) and options.get("include_usage") is True

    def first(self) -> dict[str, Any]:
        """Return the body to send: always a stream, and one that reports token ids.

        Chat chunks carry ids only as log probabilities. That of the one most probable token, after sampling,
        costs next to nothing. Chunks without text carry not even these; the timings then report the number of
        tokens.
        """
        body = {**self.body, "stream": True}
        if self.dialect is Dialect.TEXT:
            body["verbose"] = True
        elif self.dialect is Dialect.CHAT:
            body |= {"n_probs": 1, "post_sampling_probs": True, "timings_per_token": True}
            if not self.streaming:
                body["stream_options"] = {"include_usage": True}
        return body


def read_request(path: str, content: bytes) -> CompletionRequest | None:
    """Read a completion request; None where it is none, or so wrong that only the leader can say how."""
    try:
        body = json.loads(content) if path in DIALECTS else None
    except (ValueError, RecursionError):
        return None
    return as_completion(path, body) if isinstance(body, dict) else None


def as_completion(path: str, body: Mapping[str, Any]) -> CompletionRequest | None:
    """Like `read_request`, of a body that has been decoded."""
    dialect = DIALECTS.get(path)
    if dialect is None:
        return None
    needed = "messages" if dialect is Dialect.CHAT else "prompt"
    streaming = body.get("stream") or False
    if not isinstance(body.get(needed), list | str | dict) or not isinstance(streaming, bool):
        return None
    limit = next((body[name] for name in LIMITS if body.get(name) is not None), -1)
    if not _is_int(limit) or limit < -1:
        return None
    return CompletionRequest(
        dialect, path, body, streaming, None if limit == -1 else limit, _why_not_resumable(dialect, body)
    )


def is_greedy(body: Mapping[str, Any]) -> bool:
    """Whether the answer is deterministic, as no sampling takes place."""
    temperature = body.get("temperature")
    return body.get("top_k") == 1 or (isinstance(temperature, int | float) and temperature <= 0)


def _why_not_resumable(dialect: Dialect, body: Mapping[str, Any]) -> str:
    for name, what in _STATEFUL.items():
        if body.get(name):
            return what
    for name, what in _WITHOUT_LIMIT.items():
        if body.get(name) not in (None, -1):
            return what
    choices = next((body[name] for name in ("n_cmpl", "n") if body.get(name) is not None), 1)
    if choices != 1:
        return "several choices"
    form = body.get("response_format")
    if form is not None and (not isinstance(form, dict) or form.get("type") not in (None, "", "text")):
        return "a grammar"
    if body.get("seed") not in (None, -1) and not is_greedy(body):
        return "a seed"
    if not body.get("stream") and body.get("return_tokens") and dialect is Dialect.NATIVE:
        return "the ids of all tokens"
    whole = _has_only_text(body["messages"]) if dialect is Dialect.CHAT else one_prompt(body["prompt"]) != []
    return "" if whole else "media, or several prompts"


def one_prompt(prompt: Any) -> str | list[Any]:
    """Return the one prompt: text, or text and ids mixed; [] where there is another value."""
    if isinstance(prompt, list) and len(prompt) == 1 and not _is_int(prompt[0]):
        prompt = prompt[0]
    if isinstance(prompt, dict) and "multimodal_data" not in prompt:
        prompt = prompt.get("prompt_string")
    if isinstance(prompt, str):
        return prompt
    if isinstance(prompt, list) and any(_is_int(part) for part in prompt):
        return prompt if all(_is_int(part) or isinstance(part, str) for part in prompt) else []
    return []


def _has_only_text(messages: Any) -> bool:
    if not isinstance(messages, list):
        return False
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else 0
        parts = content if isinstance(content, list) else []
        if not isinstance(content, str | list | None):
            return False
        if any(not isinstance(part, dict) or part.get("type") != "text" for part in parts):
            return False
    return True


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
