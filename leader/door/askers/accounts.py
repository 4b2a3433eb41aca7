"""Who asks this leader, and what of it is counted. Pure, and bounded.

A request has a `Ticket` from its arrival to its end. It waits first, unless it needs no slot, and is in
flight from when it has its turn. What it cost is known only afterwards, so tokens are charged
then: a member that took more than its share waits until that is paid for.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Final

from leader.door.askers.limits import RETRY_SECONDS, Limits
from leader.door.orders import Refused

MAX_ACCOUNTS: Final = 4096


@dataclass(slots=True)
class Account:
    """The counts of one member since this leader began to count. ``requests`` include the refused ones."""

    requests: int = 0
    refused: int = 0
    in_flight: int = 0
    queued: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    paid_at: float = -inf
    """When the tokens that it has taken are paid for."""

    def is_settled(self, now: float) -> bool:
        """Whether nothing is lost but counts when the account is forgotten."""
        return not self.in_flight and not self.queued and self.paid_at <= now


class Ticket:
    """One accepted request of a member: says what becomes of it, so that it is counted."""

    def __init__(self, account: Account, limits: Limits | None) -> None:
        """``limits`` is None where none hold for the member."""
        self._account = account
        self._limits = limits
        self._place = "queued"
        self._tokens = 0
        account.queued += 1

    @property
    def may_start(self) -> bool:
        """Whether the member has fewer requests in flight than it may: if not, this one waits.

        What is in flight already may start more: it is one request, however many answers it asks for.
        """
        if self._limits is None or self._place == "in flight":
            return True
        return self._account.in_flight < self._limits.in_flight

    def started(self, now: float) -> None:
        """It waits no longer: it has its turn. A second call does nothing."""
        if self._place == "queued":
            self._account.queued -= 1
            self._account.in_flight += 1
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
        account = self._account
        if self._place == "queued":
            account.queued -= 1
        elif self._place == "in flight":
            account.in_flight -= 1
        self._place = "ended"
        if self._limits is not None:
            account.paid_at = self._limits.paid_at(now, account.paid_at, self._tokens)
        self._tokens = 0


class Askers:
    """All who ask this leader, by the text of their id. Of too many, the least recently heard of goes."""

    def __init__(self, limits: Limits | None = None, most: int = MAX_ACCOUNTS) -> None:
        self._limits = Limits() if limits is None else limits
        self._most = most
        self._accounts: OrderedDict[str, Account] = OrderedDict()

    def begin(self, now: float, member: str, *, owner: bool) -> Ticket | Refused:
        """Accept a request of the member, or refuse it."""
        account = self._account(now, member)
        if account is None:
            return Refused(503, "overloaded", "too many members ask at once", retry_after=RETRY_SECONDS)
        account.requests += 1
        limits = self.limits_of(owner=owner)
        if limits is not None:
            debt = account.paid_at - now
            refused = limits.refusal(account.queued, debt)
            if refused is not None:
                account.refused += 1
                return refused
        return Ticket(account, limits)

    def limits_of(self, *, owner: bool) -> Limits | None:
        """The limits of a member; None where none hold for it."""
        return None if owner and not self._limits.owners else self._limits

    def refuse(self, now: float, member: str) -> None:
        """Count a request that was refused before it could begin, as by a right."""
        account = self._account(now, member)
        if account is not None:
            account.requests += 1
            account.refused += 1

    def accounts(self) -> Mapping[str, Account]:
        """What each member has asked, by its id; to be read only."""
        return self._accounts

    def _account(self, now: float, member: str) -> Account | None:
        """The member's, made if need be; None where there are too many, all of them asking."""
        account = self._accounts.get(member)
        if account is None:
            if len(self._accounts) >= self._most and not self._make_room(now):
                return None
            account = self._accounts[member] = Account()
        self._accounts.move_to_end(member)
        return account

    def _make_room(self, now: float) -> bool:
        oldest = next((id for id, one in self._accounts.items() if one.is_settled(now)), None)
        if oldest is not None:
            del self._accounts[oldest]
        return oldest is not None
