"""What a stay in a pool attaches to the parts that outlive it, and detaches when it ends."""

from collections.abc import Callable
from types import TracebackType

from mesh.admission.admission_server import AdmissionServer
from mesh.net.discovery.discovery_source import Sighting
from mesh.runtime.node_context import NodeContext
from mesh.runtime.node_driver import NodeDriver


class Attachment:
    """A context manager: inside, streams and datagrams are those of ``driver``'s pool.

    The door is opened later, by `open_door`, once the node has started: before that nobody can be admitted.
    """

    def __init__(
        self,
        context: NodeContext,
        admission_server: AdmissionServer,
        driver: NodeDriver,
        pool_name: str,
        greet: Callable[[Sighting], None],
    ) -> None:
        """``greet`` hears each announcement that discovery sees, while the door is open."""
        self._context = context
        self._admission_server = admission_server
        self._driver = driver
        self._pool_name = pool_name
        self._greet = greet

    def __enter__(self) -> "Attachment":
        streams, datagrams = self._context.streams, self._context.datagrams
        streams.pool = self._driver.pool
        streams.is_fenced = lambda: self._driver.fenced
        datagrams.is_known = self._driver.node.knows
        datagrams.on_unreachable = self._driver.refused
        self._admission_server.pool_name = self._pool_name
        return self

    def open_door(self) -> None:
        """From now on joiners are admitted, and members that announce themselves are greeted."""
        self._admission_server.driver = self._driver
        self._context.discovery.on_sighting = self._greet

    def close_door(self) -> None:
        """No more of that, while the node still says goodbye."""
        self._admission_server.driver = None
        self._context.discovery.on_sighting = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close_door()
        self._admission_server.pool_name = ""
        self._admission_server.moving = False
        streams, datagrams = self._context.streams, self._context.datagrams
        streams.pool = None
        streams.is_fenced = lambda: False
        streams.trust({})
        datagrams.is_known = lambda source: False
        datagrams.on_unreachable = lambda endpoint: None
