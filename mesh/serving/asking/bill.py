"""What one order costs, and whether llama-server lives through it: noted with the member that asked."""

from collections.abc import Iterator
from contextlib import contextmanager

import trio

from leader.door.askers.accounts import Ticket
from leader.door.askers.blame import EngineDeaths, InEngine
from leader.door.orders import Refused
from mesh.runtime.clock import now
from mesh.serving.asking.engine_client import Connect


class Bill:
    """One order's. ``whole`` is set once it is known what became of it: an answer, or llama-server's end."""

    def __init__(
        self, ticket: Ticket, deaths: EngineDeaths, member: str, digest: bytes, *, owner: bool
    ) -> None:
        self.whole = False
        self._ticket = ticket
        self._deaths = deaths
        self._member = member
        self._digest = digest
        self._owner = owner
        self._in_engine: InEngine | None = None

    def refusal(self) -> Refused | None:
        """Why the order is not performed: llama-server died of it before, or its member is suspended."""
        return self._deaths.refusal(now(), self._member, self._digest)

    @property
    def goes_first(self) -> bool:
        """Whether llama-server died while it had this, and nobody knows yet whose fault that was."""
        return self._deaths.goes_first(self._member, self._digest)

    def may_start(self) -> bool:
        """Whether its member has fewer requests in llama-server than it may."""
        return self._ticket.may_start

    def starts(self) -> None:
        """Note that it has its turn: it is in flight from now on."""
        self._ticket.started(now())

    def noting(self, connect: Connect) -> Connect:
        """The same, but noting that llama-server has it once it takes a connection.

        Not before: whoever waits while llama-server dies has no part in that.
        """

        async def connect_and_note() -> trio.abc.Stream:
            stream = await connect()
            self._started()
            return stream

        return connect_and_note

    def _started(self) -> None:
        if self._in_engine is None:
            self._in_engine = self._deaths.begin(now(), self._member, self._digest, owner=self._owner)

    def tokens(self, prompt: int, generated: int, cached: int) -> None:
        """Note tokens of the prompt, generated ones, and how many of the prompt were not computed."""
        self._ticket.tokens(prompt, generated, cached)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Note the end, however it comes: whoever hangs up leaves the request in llama-server for a while."""
        try:
            yield
        finally:
            if self._in_engine is not None:
                self._deaths.end(now(), self._in_engine, whole=self.whole)
