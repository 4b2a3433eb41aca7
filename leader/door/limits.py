"""How much a member may ask at a time, and what it has asked. Pure.

A request has a `Ticket` from its arrival to its end. It waits first, unless it needs no slot, and is in
flight from when it is given to llama-server. What it cost is known only afterwards, so tokens are charged
then: a member that took more than its share waits until that is paid for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from leader.door.accounts import MAX_ACCOUNTS, Account, Accounts
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


class Ticket:
    """One accepted request of a member: says what becomes of it, so that it is counted."""

    def __init__(self, now: float, account: Account, limits: Limits | None) -> None:
        """``limits`` is None where none hold for the member."""
        self._account = account
        self._limits = limits
        self._began = now
        self._place = "queued"
        self._tokens = 0
        account.queued += 1

    @property
    def may_start(self) -> bool:
        """Whether the member has fewer requests in flight than it may: if not, this one waits."""
        return self._limits is None or self._account.in_flight < self._limits.in_flight

    def started(self, now: float) -> None:
        """It waits no longer: llama-server gets it."""
        if self._place == "queued":
            self._account.queued -= 1
            self._account.in_flight += 1
            self._account.waited_seconds += max(0.0, now - self._began)
            self._place = "in flight"

    def received(self, count: int) -> None:
        """So many bytes of the request came."""
        self._account.bytes_in += count

    def sent(self, count: int) -> None:
        """So many bytes of the answer went."""
        self._account.bytes_out += count

    def tokens(self, prompt: int, generated: int, cached: int = 0) -> None:
        """It took so many tokens more; of the prompt's, the ``cached`` were not computed and cost nothing."""
        self._account.prompt_tokens += prompt
        self._account.generated_tokens += generated
        self._tokens += max(0, prompt - cached) + generated

    def refused(self) -> None:
        """The door refused it for what it asks."""
        self._account.refused += 1

    def end(self, now: float) -> None:
        """It is over, however it ended, and charged for. A second call does nothing."""
        account, rate = self._account, None if self._limits is None else self._limits.tokens_per_minute
        if self._place == "queued":
            account.queued -= 1
        elif self._place == "in flight":
            account.in_flight -= 1
        self._place = "ended"
        if rate is not None and self._tokens:
            paid_at = max(account.paid_at, now - BURST_SECONDS) + self._tokens * 60 / rate
            account.paid_at = min(paid_at, now + MOST_DEBT_SECONDS)
            self._tokens = 0


class Askers:
    """All who ask this leader. Members are named by the text of their id."""

    def __init__(self, limits: Limits | None = None, most: int = MAX_ACCOUNTS) -> None:
        self._limits = Limits() if limits is None else limits
        self._now = 0.0
        self._accounts = Accounts(self._is_settled, most)

    def begin(self, now: float, member: str, *, owner: bool, waits: bool = True) -> Ticket | Refused:
        """Accept a request of the member, or refuse it; ``waits`` unless it needs no slot."""
        self._now = now
        account = self._accounts.of(member)
        if account is None:
            return Refused(503, "overloaded", "too many members ask at once", retry_after=RETRY_SECONDS)
        account.requests += 1
        limits = None if owner and not self._limits.owners else self._limits
        refused = None if limits is None else _refusal(account, limits, now, waits)
        if refused is not None:
            account.refused += 1
            return refused
        return Ticket(now, account, limits)

    def refuse(self, now: float, member: str) -> None:
        """Count a request that was refused before it could begin: by a right, or for engine deaths."""
        self._now = now
        account = self._accounts.of(member)
        if account is not None:
            account.requests += 1
            account.refused += 1

    def accounts(self) -> Mapping[str, Account]:
        """What each member has asked, by its id; to be read only."""
        return self._accounts.all()

    def _is_settled(self, account: Account) -> bool:
        """Whether nothing is lost but counts when the account is forgotten."""
        return not account.is_open and account.paid_at <= self._now


def _refusal(account: Account, limits: Limits, now: float, waits: bool) -> Refused | None:
    if account.paid_at > now:
        text = f"this member has taken more than its {limits.tokens_per_minute} tokens a minute"
        return Refused(429, "too_many_tokens", text, retry_after=account.paid_at - now)
    if waits and account.queued >= limits.queued:
        text = f"{limits.queued} requests of this member are waiting, as many as may"
    elif not waits and account.in_flight >= limits.in_flight:
        text = f"{limits.in_flight} requests of this member are being answered, as many as may"
    else:
        return None
    return Refused(429, "too_many_requests", text, retry_after=RETRY_SECONDS)
