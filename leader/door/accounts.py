"""What each member has asked of this leader: counts. Pure, and bounded."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

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
    waited_seconds: float = 0.0
    """By all its requests together, until they were started."""
    paid_at: float = float("-inf")
    """When the tokens that it has taken are paid for."""

    @property
    def is_open(self) -> bool:
        """Whether a request of the member is waiting or being answered."""
        return bool(self.in_flight or self.queued)


class Accounts:
    """The accounts of all members, by id. Of too many, the least recently used one that may go does."""

    def __init__(self, may_go: Callable[[Account], bool], most: int = MAX_ACCOUNTS) -> None:
        self._may_go = may_go
        self._most = most
        self._by_member: OrderedDict[str, Account] = OrderedDict()

    def of(self, member: str) -> Account | None:
        """The member's account, made if need be; None where there are too many that may not go."""
        account = self._by_member.get(member)
        if account is None:
            if len(self._by_member) >= self._most and not self._make_room():
                return None
            account = self._by_member[member] = Account()
        self._by_member.move_to_end(member)
        return account

    def all(self) -> Mapping[str, Account]:
        """Every account by member; to be read only."""
        return self._by_member

    def _make_room(self) -> bool:
        oldest = next((id for id, one in self._by_member.items() if self._may_go(one)), None)
        if oldest is not None:
            del self._by_member[oldest]
        return oldest is not None
