"""What the gateway needs from its node."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple, Protocol

import trio

from leader.door.orders import Refused
from mesh.net.stream_kinds import StreamKind
from mesh.wire.errors import MeshError


class NotReady(MeshError):
    """No answer is possible now: ``reason`` says why, ``retry_after`` in how many seconds to ask again.

    ``lasting``: waiting a little will not help. A new request then fails at once; an answer that has begun
    still waits.
    """

    def __init__(
        self, reason: str, retry_after: float = 5.0, hint: str = "", *, lasting: bool = False
    ) -> None:
        super().__init__(reason, hint)
        self.reason = reason
        self.retry_after = retry_after
        self.lasting = lasting


class NothingServed(NotReady):
    """No owner wants a model to be served, so no answer continues."""

    def __init__(self) -> None:
        super().__init__("no model is served", hint="mesh serve MODEL", lasting=True)


class AskingRefused(NotReady):
    """This node may not ask: ``refused`` says why. Nothing was opened."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.message, refused.retry_after, lasting=True)
        self.refused = refused


class Serving(NamedTuple):
    """The leader (its id as text), and the model to serve (its hash)."""

    leader: str
    model: str


class GatewayBackend(Protocol):
    """The node, as its gateway sees it."""

    async def open_leader(self, kind: StreamKind = StreamKind.API) -> trio.abc.Stream:
        """Open a fresh byte stream to the leader, for one HTTP/1.1 exchange of this kind: API or RESUME.

        The gateway owns the stream and closes it forcefully when the client has hung up. The other end must
        then close its connection to llama-server, which stops the slot. A stream that fails raises
        ``trio.BrokenResourceError``, or ends early, which HTTP tells from a proper end.

        Raises `NotReady` where no leader can be asked, `AskingRefused` where this node may not, `MeshError`
        or ``OSError`` where asking failed.
        """
        ...

    def refused(self) -> Refused | None:
        """Why this node may not ask; None where it may."""
        ...

    def serving(self) -> Serving | None:
        """Return the leader and the model to serve; None while no member leads. Costs next to nothing."""
        ...

    def status(self) -> Mapping[str, Any]:
        """Return the object of ``mesh status --json``."""
        ...

    def changes(self) -> AsyncIterator[None]:
        """Iterate over changes of the status. Several may come as one."""
        ...
