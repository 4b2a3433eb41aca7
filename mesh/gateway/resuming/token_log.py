"""The token log of an answer: each token, and up to which of them the client has all text."""

from typing import Final

from mesh.gateway.resuming.dialects import StreamPiece
from mesh.gateway.resuming.settled_tokens import Gap, SettledTokens

CONTEXT: Final = 24
"""Characters before a stretch of text that are tokenized with it, so that it is split as at first."""

MAX_UNREPORTED: Final = 4096
"""Tokens in a row that may go unreported."""


class TokenLog:
    """Kept while an answer streams. A cut keeps the tokens whose text the client has, drops the rest."""

    def __init__(self) -> None:
        self.base = 0
        """Tokens from before the present stream."""
        self.foreign = False
        """Whether the answer holds more than content, whose place among the tokens is unknown."""
        self._gaps: list[Gap] = []
        self._last = (0, "")
        self._ids: list[int | None] = []
        self._whole = 0
        self._pending = ""
        self._before = ""
        self._first_at: float | None = None
        self._last_at = 0.0
        self._timed = 0
        self._rate = 0.0

    def add(self, now: float, piece: StreamPiece) -> None:
        """Add a piece that arrived at ``now``. Raises ``ValueError`` where its count makes no sense."""
        if piece.count is not None:
            unreported = self.base + piece.count - len(self._ids) - len(piece.ids)
            if unreported > MAX_UNREPORTED:
                raise ValueError("more tokens than there can be")
            self._ids += [None] * unreported
        self._ids += piece.ids
        self.foreign = self.foreign or piece.foreign or bool(piece.thought)
        self._pending += piece.text
        self._time(now)
        # All text up to this token has been sent if the text generated last is the text sent last.
        if piece.raw and piece.text.endswith(piece.raw):
            self._settle()

    def _settle(self) -> None:
        start, end = self._whole, len(self._ids)
        self._last = (start, self._pending)
        if None in self._ids[start:end]:
            self._gaps.append(Gap(start, end, self._before, self._pending))
        self._before = (self._before + self._pending)[-CONTEXT:]
        self._whole, self._pending = end, ""

    def _time(self, now: float) -> None:
        if self._first_at is None:
            self._first_at, self._timed = now, len(self._ids)
        self._last_at = now

    @property
    def settled(self) -> int:
        """Number of tokens all of whose text the client has."""
        return self._whole

    @property
    def ragged(self) -> bool:
        """Whether the client has text that cannot be attributed to the settled tokens."""
        return bool(self._pending)

    @property
    def made(self) -> int:
        """Number of tokens that were generated so far, as far as is reported."""
        return len(self._ids)

    def seconds_per_token(self) -> float:
        """Return the average seconds a token took, in the last stream that reports any; 0.0 before that."""
        tokens = len(self._ids) - self._timed
        if self._first_at is not None and tokens > 0:
            self._rate = (self._last_at - self._first_at) / tokens
        return self._rate

    def cut(self, end: int | None = None) -> None:
        """Go back to the settled tokens, or to `end` of them: another stream goes on from there."""
        self._rate = self.seconds_per_token()
        self._whole = self._whole if end is None else end
        del self._ids[self._whole :]
        self._pending = ""
        self.base = self._whole
        self._first_at = None

    def tokens(self) -> SettledTokens:
        """Return the settled tokens."""
        return SettledTokens(tuple(self._ids[: self._whole]), tuple(self._gaps), self._last)
