"""The requests that bring a new leader to the place where the old one died.

Sent as one batch (`fast`), the tokens that were there are computed together, whose arithmetic is not that of
single tokens: the answer goes on as a valid one, but perhaps as another. Sent one by one (`exact`), each as a
request that is one id longer than the one before, they are computed as they were at first: a greedy answer
goes on token by token as it would have.
"""

from collections.abc import Callable, Generator
from typing import Any, Final, Literal, NamedTuple

from mesh.gateway.resuming.dialects import text_bytes
from mesh.gateway.resuming.pace import How
from mesh.gateway.resuming.request import LIMITS, Asked, Dialect, one_prompt
from mesh.gateway.resuming.token_log import Gap, TokenLog

TooSlow = Callable[[int, int], bool]
"""Whether a replay is to be given up, of which so many steps of so many are done."""

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

_MARKS: Final = 16
"""Tokens around an answer's parts that a chat template may add to those that were generated."""


class CannotContinue(Exception):
    """The answer cannot be continued; the text says why."""


class Ask(NamedTuple):
    """A request with a whole JSON answer."""

    path: str
    body: dict[str, Any]


Ending = Literal["", "limit", "full", "eos", "word"]


class Onward(NamedTuple):
    """The request whose stream continues the answer, and the tokens that the prompt had at first.

    ``ending``: all tokens are there, for this reason, and the stream is to tell of the end alone; the token
    that llama-server generates even then is nobody's. ``last`` is the text that came with the last tokens,
    and what of it stands in the prompt: where the answer has ended, its last token does not.
    """

    path: str
    body: dict[str, Any]
    prompt_tokens: int
    ending: Ending
    last: tuple[str, str] = ("", "")


def continuation(
    asked: Asked,
    token_log: TokenLog,
    how: How,
    too_slow: TooSlow = lambda done, total: False,
    full: bool = False,
) -> Generator[Ask, Any, Onward]:
    """Yield requests, be sent their answers, and return the request that continues the answer.

    A replay that turns out ``too_slow`` goes on as one batch; ``full`` says that the context has no room for
    more tokens. Raises `CannotContinue`.
    """
    prompt = yield from _prompt_ids(asked)
    for gap in list(token_log.gaps):
        yield from _fill(token_log, gap)
    done = token_log.ids()
    ending: Ending = "limit" if asked.limit is not None and len(done) >= asked.limit else ""
    ending = "full" if full else ending
    start, text = token_log.last
    over = yield from _how_it_ended(asked, done[start:], text)
    if over:
        ending = over
    if over or full:
        # The one that is generated in its stead has room even in a full context.
        done.pop()
        kept = (yield Ask("/detokenize", {"tokens": done[start:]}))["content"] if done[start:] else ""
    else:
        kept = text
    slot = -1
    if how == "exact" and not ending:
        slot = yield from _replay(asked, prompt, done, too_slow)
    return _continuation_request(asked, prompt, done, slot, ending)._replace(last=(text, kept))


def _fill(token_log: TokenLog, gap: Gap) -> Generator[Ask, Any, None]:
    body = {"content": gap.before + gap.text, "parse_special": False, "with_pieces": True}
    answer = yield Ask("/tokenize", body)
    candidates = [(token["id"], text_bytes(token["piece"])) for token in answer["tokens"]]
    last = token_log.last_id(gap)
    if last is not None:
        name = (yield Ask("/detokenize", {"tokens": [last]}))["content"]
        if _is_silent(name, gap.text):
            candidates.append((last, b""))
    if not token_log.fill(gap, candidates):
        raise CannotContinue("the ids of some of its tokens are not known")


def _is_silent(name: str, text: str) -> bool:
    """Whether a token, as it is named alone, is no part of the text that came with it: perhaps its end.

    One that is a part of a character has no name.
    """
    return "\ufffd" not in name and not (name and text.endswith(name))


def continuation_by_text(
    asked: Asked,
    thought: str,
    text: str,
    done: int,
    how: How,
    too_slow: TooSlow = lambda done, total: False,
) -> Generator[Ask, Any, Onward]:
    """The same for a chat of which not all ids can be known: what was thought and said is put into its mouth.

    llama-server goes on from there, and parses what comes. ``done`` is the number of tokens that there were.
    """
    ending: Ending = "limit" if asked.limit is not None and done >= asked.limit else ""
    message = {"role": "assistant", "reasoning_content": thought, "content": text}
    body = {key: value for key, value in asked.first().items() if key not in LIMITS}
    body["messages"] = [*asked.body["messages"], message]
    body["continue_final_message"] = "content" if text else "reasoning_content"
    body["add_generation_prompt"] = False
    body["n_predict"] = 0 if ending else -1 if asked.limit is None else asked.limit - done
    if how == "exact" and not ending:
        prompt = yield from _prompt_ids(asked)
        whole = yield from _prompt_ids(asked, body)
        alike = next((i for i, (a, b) in enumerate(zip(prompt, whole, strict=False)) if a != b), len(prompt))
        if len(whole) - alike <= done + _MARKS:
            slot = yield from _replay(asked, whole[:alike], whole[alike:], too_slow)
            body |= {"id_slot": slot, "cache_prompt": True}
    return Onward(asked.path, body, 0, ending)


def _how_it_ended(asked: Asked, last: list[int], text: str) -> Generator[Ask, Any, Ending]:
    """Say whether the last tokens, which came as `text`, ended the answer.

    Text before a stop string comes with the token that completes it; text that could have become one, and was
    held back, comes with the answer's end.
    """
    whole: str = (yield Ask("/detokenize", {"tokens": last}))["content"]
    if whole == text:
        return ""
    stops = asked.body.get("stop") or []
    if any(stop and stop in whole for stop in ([stops] if isinstance(stops, str) else stops)):
        return "word"
    # Tokens that are not shown are silent in an answer, but have a name here.
    name = (yield Ask("/detokenize", {"tokens": last[-1:]}))["content"] if len(last) > 1 else whole
    return "eos" if _is_silent(name, text) else ""


def _prompt_ids(asked: Asked, chat: dict[str, Any] | None = None) -> Generator[Ask, Any, list[int]]:
    if asked.dialect is Dialect.CHAT:
        body = {key: value for key, value in (chat or asked.body).items() if key != "stream"}
        prompt = (yield Ask("/apply-template", body))["prompt"]
    else:
        prompt = one_prompt(asked.body["prompt"])
    if isinstance(prompt, list) and not any(isinstance(part, str) for part in prompt):
        return prompt
    answer = yield Ask("/tokenize", {"content": prompt, "add_special": True, "parse_special": True})
    ids: list[int] = answer["tokens"]
    return ids


def _replay(asked: Asked, prompt: list[int], done: list[int], too_slow: TooSlow) -> Generator[Ask, Any, int]:
    """Compute the prompt, then all tokens but the last, each by itself; return the slot that did it.

    The last one is computed by the stream that follows: alone, too, for the rest is there.
    """
    body: dict[str, Any] = {"n_predict": 0, "temperature": 0, "response_fields": ["id_slot"]}
    body |= {key: asked.body[key] for key in ("lora", "id_slot") if key in asked.body}
    first = {**body, "prompt": prompt, "cache_prompt": asked.body.get("cache_prompt", True)}
    slot: int = (yield Ask("/completion", first))["id_slot"]
    for end in range(1, len(done)):
        if too_slow(end - 1, len(done) - 1):
            break
        yield Ask(
            "/completion", {**body, "prompt": prompt + done[:end], "cache_prompt": True, "id_slot": slot}
        )
    return slot


def _continuation_request(
    asked: Asked, prompt: list[int], done: list[int], slot: int, ending: Ending
) -> Onward:
    left = 0 if ending else -1 if asked.limit is None else asked.limit - len(done)
    dropped = _REPLACED | (_CHAT_ALONE if asked.dialect is Dialect.CHAT else frozenset())
    body = {key: value for key, value in asked.body.items() if key not in dropped}
    body |= {"prompt": prompt + done, "n_predict": left, "stream": True}
    if slot != -1:
        body |= {"id_slot": slot, "cache_prompt": True}
    if asked.dialect is Dialect.NATIVE:
        return Onward(asked.path, body, len(prompt), ending)
    return Onward("/v1/completions", {**body, "verbose": True}, len(prompt), ending)
