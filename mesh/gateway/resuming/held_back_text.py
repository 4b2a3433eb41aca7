"""The text that a stream holds back to its end, but a whole answer contains.

A stream never sends text that could become a stop string. So the tokens from there are generated once more,
without stop strings: the answer ended by its number of tokens, so there was none.
"""

from mesh.gateway.resuming.dialects import parse_event, read_piece
from mesh.gateway.resuming.request import LIMITS, CompletionRequest, Dialect
from mesh.gateway.resuming.resume_request import ResumeRequest
from mesh.gateway.resuming.settled_tokens import SettledTokens


def held_back_request(request: CompletionRequest, tokens: SettledTokens, made: int) -> ResumeRequest:
    """Ask for the rest of ``made`` tokens."""
    body = {key: value for key, value in request.body.items() if key not in ("stop", *LIMITS)}
    return ResumeRequest(request.path, {**body, "n_predict": made}, tokens, None, "fast")


class HeldBackText:
    """Gathers the text from the events of that request's answer."""

    def __init__(self, request: CompletionRequest) -> None:
        self._dialect = Dialect.NATIVE if request.dialect is Dialect.NATIVE else Dialect.TEXT
        self._told = 0
        self.text = ""
        self.ended = False

    def feed(self, event: bytes) -> None:
        """Take an event. Raises ``LookupError``, ``TypeError`` or ``ValueError`` where it makes no sense."""
        value = parse_event(event)
        if value is None:
            return
        piece = read_piece(self._dialect, value)
        count = piece.count or 0
        if piece.finish is None:
            self.text += piece.text
            self._told = count
            return
        if count > self._told:
            self.text += "\ufffd"  # the last tokens end within a character
        self.ended = True
