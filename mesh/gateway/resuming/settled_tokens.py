"""The tokens whose text the client has, and how those that no event told are found."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gap:
    """Tokens ``start`` to ``end`` (not included), some of whose ids were not reported; ``text`` is theirs."""

    start: int
    end: int
    before: str
    text: str


@dataclass(frozen=True, slots=True)
class SettledTokens:
    """Ids, None where they are unknown; ``gaps`` cover all of these, in order.

    ``last``: where the last tokens that came with text begin, and that text.
    """

    ids: tuple[int | None, ...]
    gaps: tuple[Gap, ...]
    last: tuple[int, str]


def fill(ids: list[int | None], gap: Gap, candidates: Sequence[tuple[int, bytes]]) -> bool:
    """Fill a gap by the last tokens (id, text) of a tokenization; False where these cannot be the ones.

    They fit if they are as many, have the very same text, and agree with all reported ids.
    """
    reported = ids[gap.start : gap.end]
    chosen = candidates[-len(reported) :]
    if len(chosen) != len(reported) or b"".join(text for _, text in chosen) != gap.text.encode():
        return False
    if any(old is not None and old != new for old, (new, _) in zip(reported, chosen, strict=True)):
        return False
    ids[gap.start : gap.end] = [id for id, _ in chosen]
    return True
