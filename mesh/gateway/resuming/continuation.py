"""The requests that bring a new leader to the place where the old one died.

Sent as one batch (`fast`), the earlier tokens are computed together, whose arithmetic is not that of single
tokens: the answer goes on as a valid one, but perhaps as another. Sent one by one (`exact`), each request is
one id longer than the previous one. The tokens are then computed as they were at first, and a greedy answer
goes on token by token as it would have.
"""

from collections.abc import Callable, Generator
from typing import Any, Final, NamedTuple

from mesh.gateway.resuming.dialects import text_bytes
from mesh.gateway.resuming.request import LIMITS, CompletionRequest, Dialect, as_completion, one_prompt
from mesh.gateway.resuming.resume_request import ResumeRequest, SaidText
from mesh.gateway.resuming.settled_tokens import SettledTokens, fill
from mesh.gateway.resuming.taken_up import Ending, TakenUp

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


class HeldSlot(NamedTuple):
    """The slot that the leader holds for the answer, and whether what is in it may be used."""

    id: int
    reuse: bool


class ContinuationRequest(NamedTuple):
    """The request whose stream is the rest, and what the gateway is told before it."""

    path: str
    body: dict[str, Any]
    taken_up: TakenUp


def continuation(
    request: ResumeRequest, slot: HeldSlot, too_slow: TooSlow = lambda done, total: False
) -> Generator[Ask, Any, ContinuationRequest]:
    """Yield requests, be sent their answers, and return the request that continues the answer.

    All that touches a slot names the one that is held. A replay that turns out ``too_slow`` goes on as one
    batch. Raises `CannotContinue`.
    """
    completion = as_completion(request.path, request.body)
    if completion is None:
        raise CannotContinue("it is no completion")
    if completion.why_not_resumable:
        raise CannotContinue(f"it has {completion.why_not_resumable}")
    slot = slot._replace(reuse=slot.reuse and request.body.get("cache_prompt") is not False)
    way = _Way(completion, request.how == "exact", slot, too_slow)
    if request.tokens is not None:
        try:
            return (yield from _by_ids(way, request.tokens, request.full))
        except CannotContinue:
            if request.text is None:
                raise
    if request.text is None:
        raise CannotContinue("nothing of it is known")
    return (yield from _by_text(way, request.text))


class _Way(NamedTuple):
    request: CompletionRequest
    exact: bool
    slot: HeldSlot
    too_slow: TooSlow


def _by_ids(way: _Way, tokens: SettledTokens, full: bool) -> Generator[Ask, Any, ContinuationRequest]:
    request = way.request
    prompt = yield from _prompt_ids(request)
    done = yield from _all_ids(tokens)
    ending: Ending = "limit" if request.limit is not None and len(done) >= request.limit else ""
    ending = "full" if full else ending
    start, text = tokens.last
    over = yield from _how_it_ended(request, done[start:], text)
    if over:
        ending = over
    if over or full:
        # The token that is generated in its place has room even in a full context.
        done.pop()
        kept = (yield Ask("/detokenize", {"tokens": done[start:]}))["content"] if done[start:] else ""
    else:
        kept = text
    reuse = way.slot.reuse
    if way.exact and not ending:
        yield from _replay(way, prompt, done)
        reuse = True
    path, body = _request_for_rest(request, prompt, done, ending)
    body |= {"id_slot": way.slot.id, "cache_prompt": reuse}
    return ContinuationRequest(path, body, TakenUp(False, len(prompt), ending, (text, kept)))


def _all_ids(tokens: SettledTokens) -> Generator[Ask, Any, list[int]]:
    ids = list(tokens.ids)
    for gap in tokens.gaps:
        body = {"content": gap.before + gap.text, "parse_special": False, "with_pieces": True}
        answer = yield Ask("/tokenize", body)
        candidates = [(token["id"], text_bytes(token["piece"])) for token in answer["tokens"]]
        last = ids[gap.end - 1]
        if last is not None:
            name = (yield Ask("/detokenize", {"tokens": [last]}))["content"]
            if _is_hidden(name, gap.text):
                candidates.append((last, b""))
        if not fill(ids, gap, candidates):
            raise CannotContinue("the ids of some of its tokens are not known")
    return [id for id in ids if id is not None]


def _is_hidden(name: str, text: str) -> bool:
    """Whether a token's own text is no part of the text that came with it: it may be the end.

    A token that is a part of a character has no text of its own.
    """
    return "\ufffd" not in name and not (name and text.endswith(name))


def _by_text(way: _Way, said: SaidText) -> Generator[Ask, Any, ContinuationRequest]:
    """Go on with a chat some of whose token ids are unknown.

    Thought and text so far become the assistant's message. llama-server continues from there, and parses what
    comes.
    """
    request, done = way.request, said.tokens
    messages = request.body.get("messages")
    if request.dialect is not Dialect.CHAT or not isinstance(messages, list):
        raise CannotContinue("it is no chat that can go on from its text")
    ending: Ending = "limit" if request.limit is not None and done >= request.limit else ""
    message = {"role": "assistant", "reasoning_content": said.thought, "content": said.text}
    body = {key: value for key, value in request.first().items() if key not in LIMITS}
    body["messages"] = [*messages, message]
    body["continue_final_message"] = "content" if said.text else "reasoning_content"
    body["add_generation_prompt"] = False
    body["n_predict"] = 0 if ending else -1 if request.limit is None else request.limit - done
    reuse = way.slot.reuse
    if way.exact and not ending:
        prompt = yield from _prompt_ids(request)
        whole = yield from _prompt_ids(request, body)
        alike = next((i for i, (a, b) in enumerate(zip(prompt, whole, strict=False)) if a != b), len(prompt))
        if len(whole) - alike <= done + _MARKS:
            yield from _replay(way, whole[:alike], whole[alike:])
            reuse = True
    body |= {"id_slot": way.slot.id, "cache_prompt": reuse}
    return ContinuationRequest(request.path, body, TakenUp(True, 0, ending))


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


def _replay(way: _Way, prompt: list[int], done: list[int]) -> Generator[Ask, Any, None]:
    """Compute the prompt, then all tokens but the last, each by itself.

    The stream that follows computes the last one, by itself too, for the slot holds the rest.
    """
    body = {"n_predict": 0, "temperature": 0, "response_fields": ["id_slot"], "id_slot": way.slot.id}
    yield Ask("/completion", {**body, "prompt": prompt, "cache_prompt": way.slot.reuse})
    for end in range(1, len(done)):
        if way.too_slow(end - 1, len(done) - 1):
            break
        yield Ask("/completion", {**body, "prompt": prompt + done[:end], "cache_prompt": True})


def _request_for_rest(
    request: CompletionRequest, prompt: list[int], done: list[int], ending: Ending
) -> tuple[str, dict[str, Any]]:
    left = 0 if ending else -1 if request.limit is None else request.limit - len(done)
    dropped = _REPLACED | (_CHAT_ONLY if request.dialect is Dialect.CHAT else frozenset())
    body = {key: value for key, value in request.body.items() if key not in dropped}
    body |= {"prompt": prompt + done, "n_predict": left, "stream": True}
    if request.dialect is Dialect.NATIVE:
        return request.path, body
    return "/v1/completions", {**body, "verbose": True}
