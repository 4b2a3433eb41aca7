"""How much a member may ask at a time. Pure."""

from dataclasses import dataclass
from typing import Final

from leader.door.orders import Refused

BURST_SECONDS: Final = 60.0
"""Who has asked nothing for so long may take the tokens of so long at once."""
MOST_DEBT_SECONDS: Final = 3600.0
"""The longest that a member waits until what it took is paid for."""
RETRY_SECONDS: Final = 2.0
"""After which to ask again where nobody knows when a place is free."""


@dataclass(frozen=True, slots=True)
class Limits:
    """For each member: requests at a time, and tokens a minute (None: any number).

    Owners are exempt, unless ``owners`` says so.
    """

    in_flight: int = 16
    queued: int = 64
    tokens_per_minute: int | None = None
    owners: bool = False

    def refusal(self, queued: int, debt: float) -> Refused | None:
        """Why a member's next request is refused; None where it may come.

        So many of its requests are ``queued``; ``debt`` is for how many seconds it has to wait for what it
        took. One beyond those in flight is not refused: it waits.
        """
        if debt > 0:
            text = f"this member has taken more than its {self.tokens_per_minute} tokens a minute"
            return Refused(429, "too_many_tokens", text, retry_after=debt)
        if queued >= self.queued:
            text = f"{self.queued} requests of this member are waiting, as many as may"
            return Refused(429, "too_many_requests", text, retry_after=RETRY_SECONDS)
        return None

    def paid_at(self, now: float, paid_at: float, tokens: int) -> float:
        """When a member's tokens are paid for that has just taken so many more."""
        if self.tokens_per_minute is None or not tokens:
            return paid_at
        since = max(paid_at, now - BURST_SECONDS)
        return min(since + tokens * 60 / self.tokens_per_minute, now + MOST_DEBT_SECONDS)
