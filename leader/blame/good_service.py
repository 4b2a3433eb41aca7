"""Which members have proved themselves in this pool: they held their part while a model was served. Pure.

What the leader's state says is seen by every member. So a successor knows it too, as far back as it looked.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

PROOF: Final = 30.0
"""Seconds for which a plan with it was ready without a break."""
MAX_PROVEN: Final = 1024


class GoodService:
    """Follows what is served, and by whom."""

    def __init__(self) -> None:
        self._proven: OrderedDict[bytes, None] = OrderedDict()
        self._what: object = None
        self._since = 0.0

    def see(self, now: float, what: object, members: Iterable[bytes]) -> None:
        """``what`` is served by these members now: anything that changes when it is served anew.

        None for ``what``: nothing is served.
        """
        if what != self._what or now < self._since:
            self._what, self._since = what, now
        if what is None or now < self._since + PROOF:
            return
        for member in members:
            self._proven[member] = None
            self._proven.move_to_end(member)
        while len(self._proven) > MAX_PROVEN:
            self._proven.popitem(last=False)

    def has_served(self, member: bytes) -> bool:
        """Whether the member has proved itself, as far as this node saw."""
        return member in self._proven

    def failed(self, member: bytes) -> None:
        """It is to prove itself anew."""
        self._proven.pop(member, None)
