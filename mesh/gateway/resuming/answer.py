"""One answer over the streams of one leader after the other."""

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

from mesh.gateway.resuming.continuation import CannotContinue
from mesh.gateway.resuming.dialects import StreamPiece, is_preliminary, parse_event, read_piece
from mesh.gateway.resuming.held_back_text import held_back_request
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
from mesh.gateway.resuming.request import CompletionRequest, Dialect
from mesh.gateway.resuming.resume_request import ResumeRequest, SaidText
from mesh.gateway.resuming.taken_up import TakenUp
from mesh.gateway.resuming.token_log import TokenLog
from mesh.gateway.sse import generated_tokens

_ENVELOPE: Final = ("created", "id", "model", "system_fingerprint")

MAX_TEXT: Final = 32 << 20
"""Characters of an answer that are kept."""

_FULL: Final = "exceed_context_size"
"""llama-server's name for a prompt that has no room in the context."""


class NextStep(Enum):
    """What can be done after a loss."""

    CONTINUE = "continue"
    AGAIN = "again"
    END = "end"


class ResumableAnswer:
    """Turns llama-server's events into the client's, and decides what to do when a leader is lost.

    If the request is not resumable, events pass as they arrive and the answer can only begin anew. The first
    event with a role is held until an event with content follows: until then the answer can begin anew.
    """

    def __init__(self, request: CompletionRequest, mode: How | None = None) -> None:
        self.request = request
        self._mode = mode
        self._reset()

    def _reset(self) -> None:
        self.token_log = TokenLog()
        self.ended = False
        """Whether the answer is whole, including its proper end."""
        self.failed: Mapping[str, Any] | None = None
        """The error by which llama-server ended the answer."""
        self._begun = False
        self._events = 0
        self._reported_tokens: int | None = None
        self._held = b""
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._envelope: dict[str, Any] = {}
        self._reason: str | None = None
        self._finish: str | None = None
        self._last: Mapping[str, Any] = {}
        self._continued: Continued | ContinuedByText | None = None
        self._tokens_with_text = 0
        self._length = 0
        self._prompt = 0
        self._has_foreign = False
        self._is_full = False

    # --- a stream -----------------------------------------------------------------------------------

    def feed(self, now: float, event: bytes) -> bytes:
        """Take an event with the blank line that ends it; return the bytes for a client that streams.

        Raises `CannotContinue` when the answer exceeds `MAX_TEXT`.
        """
        value = parse_event(event)
        if value is None:
            self.ended = self.ended or event.strip() == DONE.strip()
            return event
        self._events += 1
        self._reported_tokens = generated_tokens(event) or self._reported_tokens
        if "error" in value:
            self.ended, self.failed = True, value
            return event
        if self.request.why_not_resumable:
            return self._pass_on(event, value)
        try:
            return self._take(now, event, value)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError):
            self.token_log.foreign = self._has_foreign = True
            return self._release(event)

    def _pass_on(self, event: bytes, value: Mapping[str, Any]) -> bytes:
        if self.request.dialect is Dialect.NATIVE and value.get("stop") is True:
            self.ended = True
        if "prompt_progress" in value:
            return event
        return self._hold(event) if is_preliminary(self.request.dialect, value) else self._release(event)

    def _take(self, now: float, event: bytes, value: Mapping[str, Any]) -> bytes:
        if self._continued is not None:
            piece = read_piece(self._continued.dialect, value)
            written = self._continued.write(value, piece)
            out = b"".join(encode_event(one) for one in written)
            last = written[-1] if written else value
        else:
            piece = read_piece(self.request.dialect, value)
            last = without_extras(self.request, value, piece)
            out = event if self.request.dialect is Dialect.NATIVE else encode_event(last)
        self._note(now, value, piece, last)
        if "prompt_progress" in value:
            return out
        said = piece.text or piece.thought or piece.foreign or self._finish is not None
        return self._release(out) if said else self._hold(out)

    def _awaits_usage(self, value: Mapping[str, Any]) -> bool:
        """Whether usage follows the event that ends the answer: the client gets both, or neither."""
        awaited = self.request.wants_usage or not self.request.streaming
        chat = (self._continued or self.request).dialect is Dialect.CHAT
        return chat and awaited and bool(value["choices"])

    def _note(
        self, now: float, value: Mapping[str, Any], piece: StreamPiece, last: Mapping[str, Any]
    ) -> None:
        if not self._envelope:
            self._envelope = {key: value[key] for key in _ENVELOPE if key in value}
        if piece.finish is not None:
            self._reason = (self._continued and self._continued.reason) or piece.finish
        if self._reason is not None and not self._awaits_usage(value):
            self._finish = self._reason
            self.ended = self.ended or self.request.dialect is Dialect.NATIVE
        if self._continued is None or self._continued.reason is None:
            self.token_log.add(now, piece)
            self._text.append(piece.text)
            self._length += len(piece.text) + len(piece.thought)
            if self._length > MAX_TEXT:
                raise CannotContinue("it is longer than an answer can be")
            self._reasoning.append(piece.thought)
        self._has_foreign = self._has_foreign or piece.foreign
        if piece.text or piece.thought:
            self._tokens_with_text = self.token_log.made
        timings = value.get("timings")
        if timings and not self._prompt:
            self._prompt = timings["cache_n"] + timings["prompt_n"]
        self._last = last

    def _hold(self, out: bytes) -> bytes:
        """Hold events without content until one with content follows: their tokens may be generated again."""
        self._held += out
        return b""

    def _release(self, out: bytes) -> bytes:
        held, self._held, self._begun = self._held, b"", True
        return held + out

    # --- a loss -------------------------------------------------------------------------------------

    def lost(self) -> NextStep:
        """Say what can be done now that a stream broke off. Raises `CannotContinue`."""
        if self._finish is not None:
            return self.again("its last text is missing") if self._lacks_tail() else NextStep.END
        token_log = self.token_log
        if self.request.why_not_resumable:
            why = f"it has {self.request.why_not_resumable}"
        elif self._is_known() or self._has_text():
            return NextStep.CONTINUE
        elif token_log.foreign or token_log.ragged:
            why = "it holds more than plain text"
        else:
            why = "nothing of it is known"
        return self.again(why)

    def refused(self, why: str) -> NextStep:
        """Say what can be done when a leader refuses to continue. Raises `CannotContinue`."""
        if _FULL in why and self._is_known() and not self._is_full:
            # The answer ended there; only its end did not reach the gateway.
            self._is_full = True
            return NextStep.CONTINUE
        return self.again(why)

    def _is_known(self) -> bool:
        """Whether the client has exactly the text of the settled tokens."""
        return self.token_log.settled > 0 and not (self.token_log.foreign or self.token_log.ragged)

    def _has_text(self) -> bool:
        """Whether the model can continue from the client's text, sent as the assistant's message."""
        messages = self.request.body.get("messages")
        ours = self.request.dialect is Dialect.CHAT and messages and messages[-1].get("role") != "assistant"
        return bool(ours) and self._tokens_with_text > 0 and not self._has_foreign

    def again(self, why: str) -> NextStep:
        """Begin anew, if the client has nothing of the answer yet. Raises `CannotContinue` with `why`."""
        if self._begun and self.request.streaming:
            raise CannotContinue(why)
        self._reset()
        return NextStep.AGAIN

    def resume_request(self) -> ResumeRequest:
        """Return what to ask of the leader that is to take the answer up."""
        known, has_text = self._is_known(), self._has_text()
        said = SaidText("".join(self._reasoning), "".join(self._text), self._tokens_with_text)
        tokens = self.token_log.settled if known else self._tokens_with_text
        return ResumeRequest(
            self.request.path,
            self.request.body,
            self.token_log.tokens() if known else None,
            said if has_text else None,
            choose(self._mode, tokens, self.token_log.seconds_per_token()),
            self._mode != "exact",
            self._is_full,
        )

    def goes_on(self, taken_up: TakenUp) -> None:
        """Take the leader's word that what follows is the rest. Raises `CannotContinue`."""
        if not (self._has_text() if taken_up.by_text else self._is_known()):
            raise CannotContinue("the leader has taken up what it was not asked for")
        self._reason = None
        self._held = b""
        self._text, self._reasoning = ["".join(self._text)], ["".join(self._reasoning)]
        if taken_up.by_text:
            visible = self._tokens_with_text
            self.token_log.cut(visible)
            self.token_log.foreign = True
            self._continued = ContinuedByText(
                self.request, self._envelope, visible, self._prompt, taken_up.ending
            )
        else:
            self.token_log.cut()
            self._continued = Continued(
                self.request, self._envelope, self._text[0], self.token_log.settled, taken_up
            )

    # --- the end ------------------------------------------------------------------------------------

    def _lacks_tail(self) -> bool:
        """Whether the last text is missing: a stream never sends text that could become a stop string."""
        cut_off = self._finish in ("limit", "length") and self.token_log.made > self.token_log.settled
        return (
            cut_off
            and not self.request.streaming
            and not self.token_log.foreign
            and not self.token_log.ragged
        )

    def tail_request(self) -> ResumeRequest | None:
        """Return what to ask for the text that a stream holds back to its end, if any is missing."""
        if not self._lacks_tail():
            return None
        return held_back_request(self.request, self.token_log.tokens(), self.token_log.made)

    def add_tail(self, text: str) -> None:
        """Add the text that was held back."""
        self._text.append(text)

    def end(self) -> bytes:
        """Return what is missing where a stream broke off between the last token and its end."""
        self.ended = True
        return DONE

    @property
    def tokens(self) -> int:
        """How many tokens were generated, as far as is known."""
        return self.token_log.made or self._reported_tokens or self._events

    @property
    def status(self) -> int:
        """The HTTP status of the answer for a client that wants it whole."""
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
        return encode(whole_answer(self.request, text, reasoning, self._last, self._finish or "stop"))
