"""What a slot of llama-server, or a file of one, holds: a conversation of a trust domain. Pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

TOKENS_PER_BEGINNING: Final = 64
"""About so many tokens are in the 256 bytes that each beginning adds."""


@dataclass(frozen=True, slots=True)
class SlotContent:
    """Whose conversation it is, chained hashes of its prompt's beginnings, and its tokens."""

    domain: str
    beginnings: tuple[int, ...] = ()
    tokens: int = 0

    def common(self, other: "SlotContent") -> int:
        """How many beginnings both share; 0 for different domains."""
        if self.domain != other.domain:
            return 0
        shared = 0
        for mine, theirs in zip(self.beginnings, other.beginnings, strict=False):
            if mine != theirs:
                break
            shared += 1
        return shared

    def goes_on_with(self, older: "SlotContent") -> bool:
        """Whether this is how ``older`` went on, or the same."""
        return bool(older.beginnings) and self.common(older) == len(older.beginnings)

    def is_mostly_in(self, other: "SlotContent") -> bool:
        """Whether more than half of this is the beginning of ``other``."""
        return 2 * self.common(other) > len(self.beginnings)


def held_by_domain(contents: Iterable[SlotContent]) -> Counter[str]:
    """How many of them each domain has."""
    return Counter(content.domain for content in contents)
