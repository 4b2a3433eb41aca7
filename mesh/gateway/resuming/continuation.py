"""The requests that bring a new leader to the place where the old one died.

Sent as one batch (`fast`), the tokens that were there are computed together, whose arithmetic is not that of
single tokens: the answer goes on as a valid one, but perhaps as another. Sent one by one (`exact`), each as a
request that is one id longer than the one before, they are computed as they were at first: a greedy answer
goes on token by token as it would have.
"""

from collections.abc import Callable, Generator
from typing import Any, Final, Literal, NamedTuple

from mesh.gateway.resuming.notes import Notes
from mesh.gateway.resuming.request import LIMITS, Asked, Dialect, one_prompt

How = Literal["exact", "fast"]

REPLAY_LIMIT: Final = 2.0
"""Seconds that a replay may be predicted to take, unless the caller has asked for it."""

# Of a chat request, what /v1/completions does not know, or knows as something else.
_CHAT_ALONE: Final = frozenset(
    (
        *("messages", "tools", "tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort"),
        *("chat_template_kwargs", "add_generation_prompt", "continue_final_message", "reasoning_format"),
    )
)
_REPLACED: Final = frozenset(
    (
        *LIMITS,
        "prompt",
        "stream_options",
        "logprobs",
        "top_logprobs",
        "n_probs",
        "return_progress",
        "n",
        "n_cmpl",
    )
)


class CannotContinue(Exception):
    """The answer cannot be continued; the text says why."""


class Ask(NamedTuple):
    """A request with a whole JSON answer."""

    path: str
    body: dict[str, Any]


class Onward(NamedTuple):
    """The request whose stream continues the answer, and the tokens that the prompt had at first."""

    path: str
    body: dict[str, Any]
    prompt_tokens: int


def choose(wish: How | None, tokens: int, seconds_per_token: float) -> How:
    """Say how to continue after so many tokens: as wished, else exactly if that is quick."""
    if wish is not None:
        return wish
    return "exact" if tokens * seconds_per_token < REPLAY_LIMIT else "fast"


def continuation(
    asked: Asked, notes: Notes, how: How, out_of_time: Callable[[], bool] = lambda: False
) -> Generator[Ask, Any, Onward]:
    """Yield requests, be sent their answers, and return the request that continues the answer.

    A replay that turns ``out_of_time`` goes on as one batch. Raises `CannotContinue`.
    """
    prompt = yield from _prompt_ids(asked)
    for gap in list(notes.gaps):
        body = {"content": gap.before + gap.text, "parse_special": False, "with_pieces": True}
        answer = yield Ask("/tokenize", body)
        if not notes.fill(gap, [(token["id"], _bytes(token["piece"])) for token in answer["tokens"]]):
            raise CannotContinue("the ids of some of its tokens are not known")
    done = notes.ids()
    slot = -1
    if how == "exact":
        slot = yield from _replay(asked, prompt, done, out_of_time)
    return _onward(asked, prompt, done, slot)


def _prompt_ids(asked: Asked) -> Generator[Ask, Any, list[int]]:
    if asked.dialect is Dialect.CHAT:
        body = {key: value for key, value in asked.body.items() if key != "stream"}
        prompt = (yield Ask("/apply-template", body))["prompt"]
    else:
        prompt = one_prompt(asked.body["prompt"])
    if isinstance(prompt, list) and not any(isinstance(part, str) for part in prompt):
        return prompt
    answer = yield Ask("/tokenize", {"content": prompt, "add_special": True, "parse_special": True})
    ids: list[int] = answer["tokens"]
    return ids


def _replay(
    asked: Asked, prompt: list[int], done: list[int], out_of_time: Callable[[], bool]
) -> Generator[Ask, Any, int]:
    """Compute the prompt, then all tokens but the last, each by itself; return the slot that did it.

    The last one is computed by the stream that follows: alone, too, for the rest is there.
    """
    body: dict[str, Any] = {"n_predict": 0, "temperature": 0, "response_fields": ["id_slot"]}
    body |= {key: asked.body[key] for key in ("lora", "id_slot") if key in asked.body}
    first = {**body, "prompt": prompt, "cache_prompt": asked.body.get("cache_prompt", True)}
    slot: int = (yield Ask("/completion", first))["id_slot"]
    for end in range(1, len(done)):
        if out_of_time():
            break
        yield Ask(
            "/completion", {**body, "prompt": prompt + done[:end], "cache_prompt": True, "id_slot": slot}
        )
    return slot


def _onward(asked: Asked, prompt: list[int], done: list[int], slot: int) -> Onward:
    left = -1 if asked.limit is None else max(0, asked.limit - len(done))
    dropped = _REPLACED | (_CHAT_ALONE if asked.dialect is Dialect.CHAT else frozenset())
    body = {key: value for key, value in asked.body.items() if key not in dropped}
    body |= {"prompt": prompt + done, "n_predict": left, "stream": True}
    if slot != -1:
        body |= {"id_slot": slot, "cache_prompt": True}
    if asked.dialect is Dialect.NATIVE:
        return Onward(asked.path, body, len(prompt))
    return Onward("/v1/completions", {**body, "verbose": True}, len(prompt))


def _bytes(piece: str | list[int]) -> bytes:
    """A token's text: llama-server gives a list of bytes where it is no whole characters."""
    return piece.encode() if isinstance(piece, str) else bytes(piece)
