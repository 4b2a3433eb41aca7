"""The requests that bring a new leader to the place where the old one died.

Sent as one batch (`fast`), the earlier tokens are computed together, whose arithmetic is not that of single
tokens: the answer goes on as a valid one, but perhaps as another. Sent one by one (`exact`), each request is
one id longer than the previous one. The tokens are then computed as they were at first, and a greedy answer
goes on token by token as it would have.
"""

from collections.abc import Callable, Generator
from typing import Any, Final, Literal, NamedTuple

from mesh.gateway.resuming.dialects import text_bytes
from mesh.gateway.resuming.pace import How
from mesh.gateway.resuming.request import LIMITS, CompletionRequest, Dialect, one_prompt
from mesh.gateway.resuming.token_log import Gap, TokenLog

TooSlow = Callable[[int, int], bool]
"""Whether to give a replay up, given its steps done and its steps in all."""

# Fields of a chat request that /v1/completions does not know, or knows with another meaning.
_CHAT_ONLY: Final = frozenset(
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
"""Tokens that a chat template may add around an answer's parts."""


class CannotContinue(Exception):
    """The answer cannot be continued; the text says why."""


class Ask(NamedTuple):
    """A request with a whole JSON answer."""

    path: str
    body: dict[str, Any]


Ending = Literal["", "limit", "full", "eos", "word"]


class ContinuationRequest(NamedTuple):
    """The request whose stream continues the answer, and the number of tokens in the original prompt.

    ``ending``: all tokens are there, for this reason, and the stream only brings the end. llama-server
    generates a token even then, which is dropped. ``last`` is the text that came with the last tokens, and
    the part of it in the prompt: where the answer has ended, its last token is not in the prompt.
    """

    path: str
    body: dict[str, Any]
    prompt_tokens: int
    ending: Ending
    last: tuple[str, str] = ("", "")


def continuation(
    request: CompletionRequest,
    token_log: TokenLog,
    how: How,
    too_slow: TooSlow = lambda done, total: False,
    full: bool = False,
) -> Generator[Ask, Any, ContinuationRequest]:
    """Yield requests, be sent their answers, and return the request that continues the answer.

    A replay that turns out ``too_slow`` goes on as one batch. ``full``: the context has no room for more
    tokens. Raises `CannotContinue`.
    """
    prompt = yield from _prompt_ids(request)
    for gap in list(token_log.gaps):
        yield from _fill(token_log, gap)
    done = token_log.ids()
    ending: Ending = "limit" if request.limit is not None and len(done) >= request.limit else ""
    ending = "full" if full else ending
    start, text = token_log.last
    over = yield from _how_it_ended(request, done[start:], text)
    if over:
        ending = over
    if over or full:
        # The token that is generated in its place has room even in a full context.
        done.pop()
        kept = (yield Ask("/detokenize", {"tokens": done[start:]}))["content"] if done[start:] else ""
    else:
        kept = text
    slot = -1
    if how == "exact" and not ending:
        slot = yield from _replay(request, prompt, done, too_slow)
    return _continuation_request(request, prompt, done, slot, ending)._replace(last=(text, kept))


def _fill(token_log: TokenLog, gap: Gap) -> Generator[Ask, Any, None]:
    body = {"content": gap.before + gap.text, "parse_special": False, "with_pieces": True}
    answer = yield Ask("/tokenize", body)
    candidates = [(token["id"], text_bytes(token["piece"])) for token in answer["tokens"]]
    last = token_log.last_id(gap)
    if last is not None:
        name = (yield Ask("/detokenize", {"tokens": [last]}))["content"]
        if _is_hidden(name, gap.text):
            candidates.append((last, b""))
    if not token_log.fill(gap, candidates):
        raise CannotContinue("the ids of some of its tokens are not known")


def _is_hidden(name: str, text: str) -> bool:
    """Whether a token's own text is no part of the text that came with it: it may be the end.

    A token that is a part of a character has no text of its own.
    """
    return "\ufffd" not in name and not (name and text.endswith(name))


def continuation_by_text(
    request: CompletionRequest,
    thought: str,
    text: str,
    done: int,
    how: How,
    too_slow: TooSlow = lambda done, total: False,
) -> Generator[Ask, Any, ContinuationRequest]:
    """Like `continuation`, for a chat some of whose token ids are unknown.

    Thought and text so far become the assistant's message. llama-server continues from there, and parses what
    comes. ``done`` is the number of tokens so far.
    """
    ending: Ending = "limit" if request.limit is not None and done >= request.limit else ""
    message = {"role": "assistant", "reasoning_content": thought, "content": text}
    body = {key: value for key, value in request.first().items() if key not in LIMITS}
    body["messages"] = [*request.body["messages"], message]
    body["continue_final_message"] = "content" if text else "reasoning_content"
    body["add_generation_prompt"] = False
    body["n_predict"] = 0 if ending else -1 if request.limit is None else request.limit - done
    if how == "exact" and not ending:
        prompt = yield from _prompt_ids(request)
        whole = yield from _prompt_ids(request, body)
        alike = next((i for i, (a, b) in enumerate(zip(prompt, whole, strict=False)) if a != b), len(prompt))
        if len(whole) - alike <= done + _MARKS:
            slot = yield from _replay(request, whole[:alike], whole[alike:], too_slow)
            body |= {"id_slot": slot, "cache_prompt": True}
    return ContinuationRequest(request.path, body, 0, ending)


def _how_it_ended(request: CompletionRequest, last: list[int], text: str) -> Generator[Ask, Any, Ending]:
    """Say whether the last tokens, which came as `text`, ended the answer.

    Text before a stop string comes with the token that completes it. Text that could have become one, and was
    held back, comes with the answer's end.
    """
    whole: str = (yield Ask("/detokenize", {"tokens": last}))["content"]
    if whole == text:
        return ""
    stops = request.body.get("stop") or []
    if any(stop and stop in whole for stop in ([stops] if isinstance(stops, str) else stops)):
        return "word"
    # Hidden tokens have no text in an answer, but have text here.
    name = (yield Ask("/detokenize", {"tokens": last[-1:]}))["content"] if len(last) > 1 else whole
    return "eos" if _is_hidden(name, text) else ""


def _prompt_ids(
    request: CompletionRequest, chat: dict[str, Any] | None = None
) -> Generator[Ask, Any, list[int]]:
    if request.dialect is Dialect.CHAT:
        body = {key: value for key, value in (chat or request.body).items() if key != "stream"}
        prompt = (yield Ask("/apply-template", body))["prompt"]
    else:
        prompt = one_prompt(request.body["prompt"])
    if isinstance(prompt, list) and not any(isinstance(part, str) for part in prompt):
        return prompt
    answer = yield Ask("/tokenize", {"content": prompt, "add_special": True, "parse_special": True})
    ids: list[int] = answer["tokens"]
    return ids


def _replay(
    request: CompletionRequest, prompt: list[int], done: list[int], too_slow: TooSlow
) -> Generator[Ask, Any, int]:
    """Compute the prompt, then all tokens but the last, each by itself; return the slot that did it.

    The stream that follows computes the last one, by itself too, for the slot holds the rest.
    """
    body: dict[str, Any] = {"n_predict": 0, "temperature": 0, "response_fields": ["id_slot"]}
    body |= {key: request.body[key] for key in ("lora", "id_slot") if key in request.body}
    first = {**body, "prompt": prompt, "cache_prompt": request.body.get("cache_prompt", True)}
    slot: int = (yield Ask("/completion", first))["id_slot"]
    for end in range(1, len(done)):
        if too_slow(end - 1, len(done) - 1):
            break
        yield Ask(
            "/completion", {**body, "prompt": prompt + done[:end], "cache_prompt": True, "id_slot": slot}
        )
    return slot


def _continuation_request(
    request: CompletionRequest, prompt: list[int], done: list[int], slot: int, ending: Ending
) -> ContinuationRequest:
    left = 0 if ending else -1 if request.limit is None else request.limit - len(done)
    dropped = _REPLACED | (_CHAT_ONLY if request.dialect is Dialect.CHAT else frozenset())
    body = {key: value for key, value in request.body.items() if key not in dropped}
    body |= {"prompt": prompt + done, "n_predict": left, "stream": True}
    if slot != -1:
        body |= {"id_slot": slot, "cache_prompt": True}
    if request.dialect is Dialect.NATIVE:
        return ContinuationRequest(request.path, body, len(prompt), ending)
    return ContinuationRequest("/v1/completions", {**body, "verbose": True}, len(prompt), ending)
