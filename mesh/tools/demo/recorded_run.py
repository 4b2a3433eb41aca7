"""What happened in a run of the demo. Values alone: the picture and the JSON are made of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any


@dataclass(frozen=True, slots=True)
class AnswerPiece:
    """A piece of an answer, about a token; ``seconds`` since it was asked for."""

    seconds: float
    text: str


@dataclass(frozen=True, slots=True)
class Share:
    """What a node holds: ``layers`` is (first, last), None for no layers. Sizes are bytes."""

    name: str
    layers: tuple[int, int] | None
    head: bool
    bytes: int
    leads: bool


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """One run. ``before`` and ``after`` are the shares, in the pipeline's order, around the kill.

    ``killed_after`` counts the pieces of ``disturbed`` that had come at ``killed_seconds``. ``lent`` has the
    bytes that each node lends, by name, and ``timings`` the seconds of each step.
    """

    model: str
    model_bytes: int
    question: str
    gateway: str
    lent: Mapping[str, int]
    before: Sequence[Share]
    after: Sequence[Share]
    first_leader: str
    second_leader: str
    undisturbed: Sequence[AnswerPiece]
    disturbed: Sequence[AnswerPiece]
    killed_after: int
    killed_seconds: float
    timings: Mapping[str, float]

    @property
    def text(self) -> str:
        """The answer during which the leader was killed."""
        return joined(self.disturbed)

    @property
    def said_before(self) -> str:
        """What had come of it when the leader was killed."""
        return joined(self.disturbed[: self.killed_after])

    @property
    def said_after(self) -> str:
        return joined(self.disturbed[self.killed_after :])

    @property
    def identical(self) -> bool:
        """Whether the answer is the undisturbed one, character by character."""
        return self.text == joined(self.undisturbed)

    @property
    def pause(self) -> tuple[float, float]:
        """From when to when nothing came after the kill, at its longest; seconds since it was asked for."""
        later = [piece.seconds for piece in self.disturbed[self.killed_after :]]
        gaps = pairwise([self.killed_seconds, *later])
        return max(gaps, key=lambda gap: gap[1] - gap[0], default=(self.killed_seconds, self.killed_seconds))

    @property
    def pause_seconds(self) -> float:
        begin, end = self.pause
        return end - begin

    @property
    def same_characters(self) -> int:
        """How many characters of the two answers are the same, from the beginning."""
        pairs = zip(self.text, joined(self.undisturbed), strict=False)
        differing = (number for number, (one, other) in enumerate(pairs) if one != other)
        return next(differing, min(len(self.text), len(joined(self.undisturbed))))

    def as_json(self) -> dict[str, Any]:
        """What ``mesh demo --json`` prints: keys may be added, never renamed."""
        return {
            "text": self.text,
            "pause_seconds": round(self.pause_seconds, 3),
            "identical": self.identical,
            "model": self.model,
            "first_leader": self.first_leader,
            "second_leader": self.second_leader,
            "killed_after_characters": len(self.said_before),
            "timings_seconds": {step: round(seconds, 3) for step, seconds in self.timings.items()},
        }


def joined(pieces: Sequence[AnswerPiece]) -> str:
    return "".join(piece.text for piece in pieces)


def megabytes(count: int) -> str:
    """Bytes as the demo tells them: all are of one order, and a picture has little room."""
    return f"{count / 1e6:.0f} MB"
