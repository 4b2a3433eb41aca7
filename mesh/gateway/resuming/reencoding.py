"""The events for the client: without what the gateway asked for in addition, seamless over leaders."""

import json
from collections.abc import Mapping
from typing import Any, Final

from mesh.gateway.resuming.dialects import StreamPiece, is_preliminary
from mesh.gateway.resuming.request import CompletionRequest, Dialect
from mesh.gateway.resuming.taken_up import Ending, TakenUp

DONE: Final = b"data: [DONE]\n\n"

Event = dict[str, Any]


def encode_event(event: Mapping[str, Any]) -> bytes:
    """Encode as llama-server does."""
    return b"data: " + encode(event) + b"\n\n"


def encode(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(errors="replace")


def without_extras(request: CompletionRequest, event: Mapping[str, Any], piece: StreamPiece) -> Event:
    """Return the event as llama-server would have sent it for the client's own request."""
    result = {key: value for key, value in event.items() if key != "__verbose"}
    if request.dialect is not Dialect.CHAT:
        return result
    result["choices"] = [
        {key: value for key, value in choice.items() if key != "logprobs"} for choice in event["choices"]
    ]
    last = piece.finish is not None or not event["choices"]
    if not last and not request.body.get("timings_per_token"):
        result.pop("timings", None)
    return result


def usage(prompt: int, completion: int, cached: int) -> dict[str, Any]:
    """Count tokens as OpenAI's API does."""
    return {
        "completion_tokens": completion,
        "prompt_tokens": prompt,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


class ContinuedByText:
    """Writes the events of a chat that is continued from its text: only counts and names need mending."""

    def __init__(
        self, request: CompletionRequest, envelope: Mapping[str, Any], base: int, prompt: int, ending: Ending
    ) -> None:
        self.dialect = Dialect.CHAT
        self.reason = reason(ending)
        self._request = request
        self._envelope = dict(envelope)
        self._base = base
        self._prompt = prompt

    def write(self, event: Mapping[str, Any], piece: StreamPiece) -> list[Event]:
        """Return the client's events for one of llama-server's."""
        ends = piece.finish is not None or not event["choices"]
        if is_preliminary(Dialect.CHAT, event) or (self.reason is not None and not ends):
            return []
        result = without_extras(self._request, event, piece) | self._envelope
        if piece.finish is not None and self.reason is not None:
            result["choices"] = [{**result["choices"][0], "finish_reason": self.reason}]
        if "usage" in event:
            made = 0 if self.reason else event["usage"]["completion_tokens"]
            result["usage"] = usage(self._prompt, self._base + made, 0)
        return [result]


def reason(ending: Ending) -> str | None:
    """Say in OpenAI's words why an answer ended before its continuation, None if it had not."""
    return {"": None, "limit": "length", "full": "length"}.get(ending, "stop")


class Continued:
    """Writes the events of a stream that continues an answer.

    ``envelope`` holds what all chunks of the answer share. ``text`` is what the client had before: ``base``
    tokens.
    """

    def __init__(
        self,
        request: CompletionRequest,
        envelope: Mapping[str, Any],
        text: str,
        base: int,
        taken_up: TakenUp,
    ) -> None:
        self.dialect = Dialect.NATIVE if request.dialect is Dialect.NATIVE else Dialect.TEXT
        self.reason = reason(taken_up.ending)
        self._request = request
        self._envelope = dict(envelope)
        self._text = text
        self._in_prompt = text.removesuffix(taken_up.last[0]) + taken_up.last[1]
        self._base = base
        self._prompt = taken_up.prompt_tokens
        self._ending = taken_up.ending

    def write(self, event: Mapping[str, Any], piece: StreamPiece) -> list[Event]:
        """Return the client's events for one of llama-server's."""
        if self._ending and piece.finish is None:
            return []
        if self._request.dialect is Dialect.NATIVE:
            return [self._native(event)]
        if self._request.dialect is Dialect.TEXT:
            return [self._text_chunk(event)]
        return self._chat(event, piece)

    def _native(self, event: Mapping[str, Any]) -> Event:
        result = {**event, "tokens_evaluated": self._prompt}
        result["tokens_predicted"] = self._base + (0 if self._ending else event["tokens_predicted"])
        if not event["stop"]:
            return result
        limit = -1 if self._request.limit is None else self._request.limit
        result["generation_settings"] = {
            **event["generation_settings"],
            "max_tokens": limit,
            "n_predict": limit,
        }
        result["prompt"] = event["prompt"].removesuffix(self._in_prompt)
        fresh = event["has_new_line"] and not self._ending
        result["has_new_line"] = fresh or "\n" in self._text
        if self._ending:
            result |= {"stop_type": "limit" if self.reason == "length" else self._ending, "stopping_word": ""}
            result["truncated"] = self._ending == "full"
            result["tokens_cached"] = self._prompt + self._base - 1
        return result

    def _text_chunk(self, event: Mapping[str, Any]) -> Event:
        result: Event = {key: value for key, value in event.items() if key != "__verbose"} | self._envelope
        if "usage" in result:
            result["usage"] = self._usage(event)
        if self._ending:
            result["choices"] = [{**event["choices"][0], "finish_reason": self.reason}]
        return result

    def _chat(self, event: Mapping[str, Any], piece: StreamPiece) -> list[Event]:
        if piece.finish is None:
            return [self._chunk({"content": piece.text}, None)] if piece.text else []
        finish = self.reason if self._ending else piece.finish
        events = [self._chunk({}, finish)]
        if self._request.wants_usage or not self._request.streaming:
            events.append({**self._chunk({}, None), "choices": [], "usage": self._usage(event)})
        if "timings" in event:
            events[-1]["timings"] = event["timings"]
        return events

    def _chunk(self, delta: dict[str, Any], finish: str | None) -> Event:
        return chat_chunk(self._envelope, delta, finish)

    def _usage(self, event: Mapping[str, Any]) -> dict[str, Any]:
        reported = event["usage"]
        made = 0 if self._ending else reported["completion_tokens"]
        cached = min(self._prompt, reported.get("prompt_tokens_details", {}).get("cached_tokens", 0))
        return usage(self._prompt, self._base + made, cached)


def chat_chunk(envelope: Mapping[str, Any], delta: dict[str, Any], finish: str | None) -> Event:
    """Make a chunk as llama-server does."""
    choice = {"finish_reason": finish, "index": 0, "delta": delta}
    return {"choices": [choice], **envelope, "object": "chat.completion.chunk"}


def whole_answer(
    request: CompletionRequest, text: str, reasoning: str, last: Mapping[str, Any], finish: str
) -> Event:
    """Build the whole answer from a stream, in the shape of llama-server's answers without a stream.

    ``last`` is the stream's last event; for a chat it is the one with the usage.
    """
    result = dict(last)
    if request.dialect is Dialect.NATIVE:
        settings = {**last["generation_settings"], "stream": False}
        return {**result, "content": text, "generation_settings": settings}
    if request.dialect is Dialect.TEXT:
        result["choices"] = [{**last["choices"][0], "text": text}]
        return result
    message = {"role": "assistant", "content": text}
    if reasoning:
        message["reasoning_content"] = reasoning
    result["choices"] = [{"finish_reason": finish, "index": 0, "message": message}]
    result["object"] = "chat.completion"
    return result
