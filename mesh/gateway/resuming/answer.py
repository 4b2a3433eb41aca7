"""One answer over the streams of one leader after the other."""

from collections.abc import Generator, Mapping
from enum import Enum
from typing import Any, Final

from mesh.gateway.resuming.continuation import (
    Ask,
    CannotContinue,
    Onward,
    TooSlow,
    continuation,
    continuation_by_text,
)
from mesh.gateway.resuming.dialects import StreamPiece, is_preliminary, parse_event, read_piece
from mesh.gateway.resuming.pace import How, choose
from mesh.gateway.resuming.reencoding import (
    DONE,
    Continued,
    ContinuedByText,
    encode,
    encode_event,
    whole_answer,
    without_extras,
)
from mesh.gateway.resuming.request import Asked, Dialect
from mesh.gateway.resuming.token_log import TokenLog
from mesh.gateway.sse import generated_tokens

_ENVELOPE: Final = ("created", "id", "model", "system_fingerprint")

MAX_TEXT: Final = 32 << 20
"""Characters of an answer that are kept."""

_FULL: Final = "exceed_context_size"
"""What llama-server calls it when a prompt has no room in the context."""


class NextStep(Enum):
    """What can be done after a loss."""

    CONTINUE = "continue"
    AGAIN = "again"
    END = "end"


class ResumableAnswer:
    """Takes llama-server's events, gives those for the client, and knows what to do when a leader is lost.

    With an obstacle in what was asked for, events pass as they come, and nothing but a new beginning is
    possible. Who speaks is not told before there is something said: until then the answer can begin anew.
    """

    def __init__(self, asked: Asked, wish: How | None = None) -> None:
        self.asked = asked
        self._wish = wish
        self._reset()

    def _reset(self) -> None:
        self.token_log = TokenLog()
        self.ended = False
        """Whether the answer is whole, its proper end included."""
        self.failed: Mapping[str, Any] | None = None
        """The error that llama-server ended the answer with."""
        self._begun = False
        self._events = 0
        self._told_tokens: int | None = None
        self._held = b""
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._envelope: dict[str, Any] = {}
        self._reason: str | None = None
        self._finish: str | None = None
        self._last: Mapping[str, Any] = {}
        self._continued: Continued | ContinuedByText | None = None
        self._told = 0
        self._length = 0
        self._prompt = 0
        self._is_strange = False
        self._is_full = False

    # --- a stream -----------------------------------------------------------------------------------

    def feed(self, now: float, event: bytes) -> bytes:
        """Take an event with the blank line that ends it; return the bytes for a client that streams.

        Raises `CannotContinue` where there is no end to it.
        """
        value = parse_event(event)
        if value is None:
            self.ended = self.ended or event.strip() == DONE.strip()
            return event
        self._events += 1
        self._told_tokens = generated_tokens(event) or self._told_tokens
        if "error" in value:
            self.ended, self.failed = True, value
            return event
        if self.asked.why_not_resumable:
            return self._pass_on(event, value)
        try:
            return self._take(now, event, value)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError):
            self.token_log.foreign = self._is_strange = True
            return self._release(event)

    def _pass_on(self, event: bytes, value: Mapping[str, Any]) -> bytes:
        if self.asked.dialect is Dialect.NATIVE and value.get("stop") is True:
            self.ended = True
        if "prompt_progress" in value:
            return event
        return self._hold(event) if is_preliminary(self.asked.dialect, value) else self._release(event)

    def _take(self, now: float, event: bytes, value: Mapping[str, Any]) -> bytes:
        if self._continued is not None:
            piece = read_piece(self._continued.dialect, value)
            written = self._continued.write(value, piece)
            told = b"".join(encode_event(one) for one in written)
            last = written[-1] if written else value
        else:
            piece = read_piece(self.asked.dialect, value)
            last = without_extras(self.asked, value, piece)
            told = event if self.asked.dialect is Dialect.NATIVE else encode_event(last)
        self._note(now, value, piece, last)
        if "prompt_progress" in value:
            return told
        said = piece.text or piece.thought or piece.foreign or self._finish is not None
        return self._release(told) if said else self._hold(told)

    def _is_half_an_end(self, value: Mapping[str, Any]) -> bool:
        """Whether usage follows the event that says why the answer ended: both are told, or neither."""
        awaited = self.asked.wants_usage or not self.asked.streaming
        chat = (self._continued or self.asked).dialect is Dialect.CHAT
        return chat and awaited and bool(value["choices"])

    def _note(
        self, now: float, value: Mapping[str, Any], piece: StreamPiece, told: Mapping[str, Any]
    ) -> None:
        if not self._envelope:
            self._envelope = {key: value[key] for key in _ENVELOPE if key in value}
        if piece.finish is not None:
            self._reason = (self._continued and self._continued.reason) or piece.finish
        if self._reason is not None and not self._is_half_an_end(value):
            self._finish = self._reason
            self.ended = self.ended or self.asked.dialect is Dialect.NATIVE
        if self._continued is None or self._continued.reason is None:
            self.token_log.add(now, piece)
            self._text.append(piece.text)
            self._length += len(piece.text) + len(piece.thought)
            if self._length > MAX_TEXT:
                raise CannotContinue("it is longer than an answer can be")
            self._reasoning.append(piece.thought)
        self._is_strange = self._is_strange or piece.foreign
        if piece.text or piece.thought:
            self._told = self.token_log.made
        timings = value.get("timings")
        if timings and not self._prompt:
            self._prompt = timings["cache_n"] + timings["prompt_n"]
        self._last = told

    def _hold(self, told: bytes) -> bytes:
        """Keep back what says nothing until something is said: its tokens may have to be generated again."""
        self._held += told
        return b""

    def _release(self, told: bytes) -> bytes:
        held, self._held, self._begun = self._held, b"", True
        return held + told

    # --- a loss -------------------------------------------------------------------------------------

    def lost(self) -> NextStep:
        """Say what can be done now that a stream broke off. Raises `CannotContinue`."""
        if self._finish is not None:
            return self.again("its last text is missing") if self._lacks_tail() else NextStep.END
        token_log = self.token_log
        if self.asked.why_not_resumable:
            why = f"it has {self.asked.why_not_resumable}"
        elif self._is_known() or self._has_text():
            return NextStep.CONTINUE
        elif token_log.foreign or token_log.ragged:
            why = "it holds more than plain text"
        else:
            why = "nothing of it is known"
        return self.again(why)

    def refused(self, why: str) -> NextStep:
        """Say what can be done where a leader refuses to go on. Raises `CannotContinue`."""
        if _FULL in why and self._is_known() and not self._is_full:
            # It ended there, and only its end was not told.
            self._is_full = True
            return NextStep.CONTINUE
        return self.again(why)

    def _is_known(self) -> bool:
        """Whether what the client has is what the settled tokens say."""
        return self.token_log.settled > 0 and not (self.token_log.foreign or self.token_log.ragged)

    def _has_text(self) -> bool:
        """Whether the text that the client has could be put into the mouth of the model, to go on from."""
        messages = self.asked.body.get("messages")
        ours = self.asked.dialect is Dialect.CHAT and messages and messages[-1].get("role") != "assistant"
        return bool(ours) and self._told > 0 and not self._is_strange

    def again(self, why: str) -> NextStep:
        """Begin anew, if the client has nothing of the answer yet. Raises `CannotContinue` with `why`."""
        if self._begun and self.asked.streaming:
            raise CannotContinue(why)
        self._reset()
        return NextStep.AGAIN

    def continuation(self, too_slow: TooSlow) -> Generator[Ask, Any, Onward]:
        """Yield what to ask the new leader, and return the request whose stream continues the answer."""
        self._reason = None
        self._held = b""
        self._text, self._reasoning = ["".join(self._text)], ["".join(self._reasoning)]
        hasty = (lambda done, total: False) if self._wish == "exact" else too_slow
        if self._is_known():
            try:
                return (yield from self._by_ids(hasty))
            except CannotContinue:
                if not self._has_text():
                    raise
        return (yield from self._by_text(hasty))

    def _by_ids(self, too_slow: TooSlow) -> Generator[Ask, Any, Onward]:
        settled = self.token_log.settled
        how = choose(self._wish, settled, self.token_log.seconds_per_token())
        self.token_log.cut()
        request_for_rest = yield from continuation(self.asked, self.token_log, how, too_slow, self._is_full)
        self._continued = Continued(
            self.asked,
            self._envelope,
            self._text[0],
            settled,
            request_for_rest.prompt_tokens,
            request_for_rest.ending,
            request_for_rest.last,
        )
        return request_for_rest

    def _by_text(self, too_slow: TooSlow) -> Generator[Ask, Any, Onward]:
        told = self._told
        how = choose(self._wish, told, self.token_log.seconds_per_token())
        self.token_log.cut(told)
        self.token_log.foreign = True
        thought, text = self._reasoning[0], self._text[0]
        request_for_rest = yield from continuation_by_text(self.asked, thought, text, told, how, too_slow)
        self._continued = ContinuedByText(
            self.asked, self._envelope, told, self._prompt, request_for_rest.ending
        )
        return request_for_rest

    # --- the end ------------------------------------------------------------------------------------

    def _lacks_tail(self) -> bool:
        """Whether text is missing that no stream tells: the last, where it could become a stop string."""
        cut_off = self._finish in ("limit", "length") and self.token_log.made > self.token_log.settled
        return (
            cut_off and not self.asked.streaming and not self.token_log.foreign and not self.token_log.ragged
        )

    def tail(self) -> Generator[Ask, Any, None]:
        """Ask for the text that a stream holds back to its end and an answer that is whole has."""
        if not self._lacks_tail():
            return
        count = self.token_log.made - self.token_log.settled
        self.token_log.cut()
        request_for_rest = yield from continuation(self.asked, self.token_log, "fast")
        body = {**request_for_rest.body, "stream": False, "n_predict": count, "cache_prompt": True}
        self._text.append((yield Ask("/completion", body))["content"])

    def end(self) -> bytes:
        """Return what is missing where a stream broke off between the last token and its end."""
        self.ended = True
        return DONE

    @property
    def tokens(self) -> int:
        """How many tokens were generated, as far as can be told."""
        return self.token_log.made or self._told_tokens or self._events

    @property
    def status(self) -> int:
        """The status of the answer for a client that wants it whole."""
        error = (self.failed or {}).get("error")
        code = error.get("code") if isinstance(error, dict) else None
        if self.failed is None:
            return 200
        return code if isinstance(code, int) and 400 <= code < 600 else 500

    def whole(self) -> bytes:
        """Return the answer for a client that wants it whole."""
        if self.failed is not None:
            return encode(self.failed)
        text, reasoning = "".join(self._text), "".join(self._reasoning)
        return encode(whole_answer(self.asked, text, reasoning, self._last, self._finish or "stop"))
