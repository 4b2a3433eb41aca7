"""The token log of an answer: each token, and up to which of them the client has all text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mesh.gateway.resuming.dialects import StreamPiece

CONTEXT: Final = 24
"""Characters before a stretch of text that are tokenized with it, so that it is split as at first."""

MAX_UNREPORTED: Final = 4096
"""Tokens in a row that may go unreported."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Tokens ``start`` to ``end`` (not included), some of whose ids were not reported; ``text`` is theirs."""

    start: int
    end: int
    before: str
    text: str


class TokenLog:
    """Kept while an answer streams. A cut keeps the tokens whose text the client has, drops the rest."""

    def __init__(self) -> None:
        self.base = 0
        """Tokens from before the present stream."""
        self.foreign = False
        """Whether the answer holds more than content, whose place among the tokens is unknown."""
        self.gaps: list[Gap] = []
        self.last = (0, "")
        """Where the last settled tokens that came with text begin, and that text."""
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
        self.last = (start, self._pending)
        if None in self._ids[start:end]:
            self.gaps.append(Gap(start, end, self._before, self._pending))
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

    def fill(self, gap: Gap, candidates: Sequence[tuple[int, bytes]]) -> bool:
        """Fill a gap by the last tokens (id, text) of a tokenization; False where these cannot be the ones.

        They fit if they are as many, have the very same text, and agree with all reported ids.
        """
        reported = self._ids[gap.start : gap.end]
        chosen = candidates[-len(reported) :]
        if len(chosen) != len(reported) or b"".join(text for _, text in chosen) != gap.text.encode():
            return False
        if any(old is not None and old != new for old, (new, _) in zip(reported, chosen, strict=True)):
            return False
        self._ids[gap.start : gap.end] = [id for id, _ in chosen]
        self.gaps.remove(gap)
        return True

    def last_id(self, gap: Gap) -> int | None:
        """Return the last id of a gap, if it was reported."""
        return self._ids[gap.end - 1]

    def ids(self) -> list[int]:
        """Return the ids of the settled tokens, once all gaps are filled."""
        return [id for id in self._ids[: self._whole] if id is not None]
