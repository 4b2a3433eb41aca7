"""Trying again what networks and busy servers break off, as long as something comes of it."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

from mesh.hub.downloader.refusals import Broken, HttpRefusal, NeverBegun
from mesh.hub.hub_lines import HubError

TRIES: Final = 8
"""One after another without a byte more."""
TRIES_TO_REACH: Final = 3
"""The same, where nothing was ever heard of the server: its name may be mistyped."""
LONGEST_PAUSE: Final = 30.0
FIRST_PAUSE: Final = 0.5
MOST_WAITING: Final = 300.0
"""Seconds that servers may ask for in all, in one request."""

T = TypeVar("T")


class Persistence:
    """How often, and after which pauses, something is tried.

    ``tell`` hears why it waits, for ``server``; ``pace`` multiplies the pauses; ``sleep`` waits.
    ``reached``: the server is known to be there.
    """

    def __init__(
        self,
        tell: Callable[[str], None],
        pace: float = 1.0,
        tries: int = TRIES,
        server: str = "the hub",
        sleep: Callable[[float], None] = time.sleep,
        reached: bool = True,
    ) -> None:
        self._tell = tell
        self._pace = pace
        self._server = server
        self._tries = tries
        self._sleep = sleep
        self._reached = reached
        self._waited = 0.0

    def run(self, attempt: Callable[[], T], place: Callable[[], int] = lambda: 0) -> T:
        """What ``attempt`` returns at last; ``place`` is how far it has come, in bytes.

        Raises the last Broken or HttpRefusal when no try came any further; HubError ``busy`` when the server
        wants more patience than there is.
        """
        furthest, fruitless = place(), 0
        while True:
            try:
                return attempt()
            except (Broken, HttpRefusal) as error:
                if isinstance(error, HttpRefusal) and not error.passing:
                    raise
                if isinstance(error, NeverBegun) and error.offline:
                    raise
                if isinstance(error, HttpRefusal) and error.wait is not None:
                    self._wait_as_asked(error.wait)
                    continue
                if place() > furthest:
                    furthest, fruitless = place(), 0
                fruitless += 1
                self._reached = self._reached or not isinstance(error, NeverBegun)
                if fruitless >= (self._tries if self._reached else min(self._tries, TRIES_TO_REACH)):
                    raise
                pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (fruitless - 1))
                self._tell(f"{error}; again in {pause:.0f} s" if pause >= 1 else f"{error}; again")
                self._sleep(pause * self._pace)

    def _wait_as_asked(self, seconds: float) -> None:
        seconds = max(1.0, seconds)
        if self._waited + seconds > MOST_WAITING:
            raise HubError(
                "busy",
                f"{self._server} wants to be left alone for {seconds:.0f} s more",
                "try again later; who is logged in (`hf auth login`) may ask the hub more often",
            )
        self._waited += seconds
        self._tell(f"{self._server} asks for patience: again in {seconds:.0f} s")
        self._sleep(seconds * self._pace)
