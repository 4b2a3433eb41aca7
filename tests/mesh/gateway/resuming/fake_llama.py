"""llama-server, as far as tokens become events: a model that says one thing, whoever asks it to go on.

It goes on only from the very ids that it has said, so a wrong one does not stay unnoticed.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mesh.gateway.resuming.request import Dialect

PROMPT = [1, 2, 3]
PROMPT_TEXT = "Say it: "
END = 4
OPEN, CLOSE = 5, 6
"""Tokens around thoughts, which are not shown."""
FIRST = 10
"""Ids of tokens that are said begin here."""
BYTES = 9000
"""Ids of single bytes begin here, which are said only where the tokens do not know better."""


class BetweenTokens(Exception):
    """A real model would go on from any text; this one knows its tokens alone."""


@dataclass
class FakeLlama:
    """``pieces`` is what the model says, token by token, having thought the ``thoughts``; then it ends."""

    pieces: Sequence[bytes]
    thoughts: Sequence[bytes] = ()
    names: dict[bytes, int] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for piece in (*self.thoughts, *self.pieces):
            self.names.setdefault(piece, FIRST + len(self.names))
        self.said = [self.names[piece] for piece in self.pieces]
        self.thought = [OPEN, *(self.names[piece] for piece in self.thoughts), CLOSE] if self.thoughts else []
        self.said = self.thought + self.said
        self.texts = {BYTES + byte: bytes([byte]) for byte in range(256)}
        self.texts |= {id: piece for piece, id in self.names.items()} | {OPEN: b"", CLOSE: b""}

    # --- whole answers ------------------------------------------------------------------------------

    def ask(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Answer what the gateway wants to know before it goes on."""
        self.asked.append((path, dict(body)))
        if path == "/apply-template":
            return {"prompt": f"{PROMPT_TEXT}{self._prefilled(body) or ''}"}
        if path == "/tokenize" and body.get("with_pieces"):
            return {
                "tokens": [{"id": id, "piece": _piece(text)} for id, text in self._tokenize(body["content"])]
            }
        if path == "/tokenize":
            assert body["add_special"]
            assert body["parse_special"]
            return {"tokens": PROMPT + self.said[: int(body["content"].removeprefix(PROMPT_TEXT) or 0)]}
        if path == "/detokenize":
            names = [b"</s>" if id == END else self.texts[id] for id in body["tokens"]]
            return {"content": b"".join(names).decode(errors="replace")}
        assert (path, body["n_predict"]) == ("/completion", 0)
        assert b"".join((*self.thoughts, *self.pieces)).startswith(self._done(body["prompt"])[1])
        return {"id_slot": 7}

    def _tokenize(self, text: str) -> list[tuple[int, bytes]]:
        """The longest token each time; those that the model never says have ids that it never says."""
        left, result = text.encode(), []
        while left:
            found = max((piece for piece in self.names if left.startswith(piece)), key=len, default=left[:1])
            result.append((self.names.get(found, BYTES + found[0]), found))
            left = left[len(found) :]
        return result

    def _place(self, prompt: Any, at_end: bool) -> int:
        """How much the prompt has of what is said; where nothing is to be added, its number is enough."""
        if prompt == PROMPT_TEXT:
            return 0
        count, text = self._done(prompt)
        # Ids within characters are not told; what is found may be cut otherwise, but reads the same.
        assert at_end or text == b"".join(self.pieces[:count]), "sent again is what was not said"
        return count

    def _prefilled(self, body: Mapping[str, Any]) -> int:
        """How much of what is said has been put into the mouth of the model."""
        last = body["messages"][-1]
        if last["role"] != "assistant":
            return 0
        assert not body["add_generation_prompt"]
        thought, text = last["reasoning_content"].encode(), last["content"].encode()
        assert body["continue_final_message"] == ("content" if text else "reasoning_content")
        begin = len(self.thought) if text else 0
        for place in range(begin, len(self.said) + 1):
            if b"".join(self.texts[id] for id in self.said[begin:place]) == (text or thought):
                return place if text or place > 1 else 0
        raise BetweenTokens(f"{thought!r} and {text!r} end within a token")

    def _done(self, prompt: list[int]) -> tuple[int, bytes]:
        """How many tokens follow the prompt itself, and their text."""
        assert prompt[: len(PROMPT)] == PROMPT
        done = [self.texts[id] for id in prompt[len(PROMPT) :]]
        return len(done), b"".join(done)

    # --- streams ------------------------------------------------------------------------------------

    def stream(self, path: str, body: Mapping[str, Any]) -> Iterator[bytes]:
        """The events of an answer."""
        self.asked.append((path, dict(body)))
        dialect = {"/completion": Dialect.NATIVE, "/v1/completions": Dialect.TEXT}.get(path, Dialect.CHAT)
        if dialect is Dialect.CHAT:
            assert body["n_probs"] == 1
        else:
            assert dialect is Dialect.NATIVE or body["verbose"]
        if dialect is Dialect.CHAT:
            place = self._prefilled(body)
        else:
            place = self._place(body["prompt"], body.get("n_predict") == 0)
        known = b"".join(self.pieces[:place]).decode(errors="replace")
        writer = _Writer(dialect, len(PROMPT) + place, PROMPT_TEXT + known, body)
        limit = next((body[name] for name in ("n_predict", "max_tokens") if body.get(name, -1) != -1), None)
        if limit == 0:
            limit = 1  # llama-server notices the limit after the first token
        yield from writer.answer(self, place, limit, body.get("stop", []))
        if dialect is not Dialect.NATIVE:
            yield b"data: [DONE]\n\n"


class _Writer:
    def __init__(self, dialect: Dialect, evaluated: int, prompt: str, body: Mapping[str, Any]) -> None:
        self._dialect = dialect
        self._prompt = prompt
        self._has_new_line = False
        self._evaluated = evaluated
        self._body = body
        self._made = 0

    def answer(
        self, model: FakeLlama, place: int, limit: int | None, stops: Sequence[str]
    ) -> Iterator[bytes]:
        """Follow process_token() in tools/server/server-context.cpp."""
        text, sent, finish = b"", 0, ""
        while not finish:
            end = place + self._made == len(model.said)
            id = END if end else model.said[place + self._made]
            text += b"" if end else model.texts[id]
            self._made += 1
            if _is_whole(text):
                stop = _find_stop(text[sent:].decode(), stops)
                if stop is not None:
                    text, finish = text[: sent + stop], "word"
                fresh = text[sent:]
                if not finish and not end and _may_become_stop(fresh.decode(), stops):
                    fresh = b""
                sent += len(fresh)
                self._has_new_line = self._has_new_line or b"\n" in fresh
                yield from self._chunk(model, id, fresh.decode(), place + self._made - 1)
            finish = finish or ("eos" if end else "limit" if self._made == limit else "")
        yield from self._last(finish)

    def _native(self, text: str, ids: list[int], stop: bool) -> dict[str, Any]:
        counts = {"tokens_predicted": self._made, "tokens_evaluated": self._evaluated}
        return {"index": 0, "content": text, "tokens": ids, "stop": stop, "id_slot": -1, **counts}

    def _final(self, finish: str) -> dict[str, Any]:
        limit = next((self._body[name] for name in ("n_predict", "max_tokens") if name in self._body), -1)
        settings = {"n_predict": limit, "max_tokens": limit, "stream": True}
        more = {"generation_settings": settings, "prompt": self._prompt, "has_new_line": self._has_new_line}
        ending = {"stop_type": finish, "stopping_word": "", "tokens_cached": 0, "truncated": False}
        return {**self._native("", [], True), "model": "fake", **more, **ending}

    def _shared(self, kind: str) -> dict[str, Any]:
        return {"created": 5, "id": "chatcmpl-1", "model": "fake", "system_fingerprint": "b1", "object": kind}

    def _chunk(self, model: FakeLlama, id: int, text: str, place: int) -> Iterator[bytes]:
        native = self._native(text, [id], False)
        if self._dialect is Dialect.NATIVE:
            yield _event(native)
        elif self._dialect is Dialect.TEXT:
            choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": None}
            yield _event({"choices": [choice], **self._shared("text_completion"), "__verbose": native})
        else:
            yield from self._chat(id, text, place < len(model.thought))

    def _chat(self, id: int, text: str, thinks: bool) -> Iterator[bytes]:
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": None}] if self._made == 1 else []
        deltas += [{"reasoning_content" if thinks else "content": text}] if text else []
        for number, delta in enumerate(deltas, 1):
            choice: dict[str, Any] = {"finish_reason": None, "index": 0, "delta": delta}
            event = {"choices": [choice], **self._shared("chat.completion.chunk")}
            if number == len(deltas):
                choice["logprobs"] = {"content": [{"id": id, "token": text, "bytes": list(text.encode())}]}
                event["timings"] = self._timings()
            yield _event(event)

    def _timings(self) -> dict[str, Any]:
        return {"cache_n": 0, "prompt_n": self._evaluated, "predicted_n": self._made}

    def _last(self, finish: str) -> Iterator[bytes]:
        reason = "length" if finish == "limit" else "stop"
        usage = {
            "completion_tokens": self._made,
            "prompt_tokens": self._evaluated,
            "total_tokens": self._made + self._evaluated,
            "prompt_tokens_details": {"cached_tokens": 0},
        }
        if self._dialect is Dialect.NATIVE:
            yield _event(self._final(finish))
        elif self._dialect is Dialect.TEXT:
            choice = {"text": "", "index": 0, "logprobs": None, "finish_reason": reason}
            told = {"choices": [choice], **self._shared("text_completion"), "usage": usage}
            yield _event({**told, "__verbose": self._final(finish), "timings": self._timings()})
        else:
            choice = {"finish_reason": reason, "index": 0, "delta": {}}
            events = [{"choices": [choice], **self._shared("chat.completion.chunk")}]
            if (self._body.get("stream_options") or {}).get("include_usage"):
                events.append({"choices": [], **self._shared("chat.completion.chunk"), "usage": usage})
            events[-1]["timings"] = self._timings()
            yield from map(_event, events)


def _event(value: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n\n"


def _piece(text: bytes) -> str | list[int]:
    return text.decode() if _is_whole(text) else list(text)


def _is_whole(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _find_stop(text: str, stops: Sequence[str]) -> int | None:
    places = [len(text[: text.find(stop)].encode()) for stop in stops if stop in text]
    return min(places) if places else None


def _may_become_stop(text: str, stops: Sequence[str]) -> bool:
    return any(text.endswith(stop[:length]) for stop in stops for length in range(1, len(stop)))
