"""What a stay in a pool attaches to the parts that outlive it, and detaches when it ends."""

from collections.abc import Callable
from types import TracebackType

from mesh.admission.admission_server import AdmissionServer
from mesh.net.discovery.discovery_source import Sighting
from mesh.runtime.node_context import NodeContext
from mesh.runtime.node_driver import NodeDriver


class Attachment:
    """A context manager: inside, streams and datagrams are those of ``driver``'s pool.

    `open_admission` follows once the node has started: before that it cannot admit.
    """

    def __init__(
        self,
        context: NodeContext,
        admission_server: AdmissionServer,
        driver: NodeDriver,
        pool_name: str,
        greet: Callable[[Sighting], None],
    ) -> None:
        """While admission is open, ``greet`` is called with each announcement that discovery sees."""
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

    def open_admission(self) -> None:
        """Admit applicants and greet members that announce themselves, from now on."""
        self._admission_server.driver = self._driver
        self._context.discovery.on_sighting = self._greet

    def close_admission(self) -> None:
        """Stop admitting and greeting, while the node still tells the others that it leaves."""
        self._admission_server.driver = None
        self._context.discovery.on_sighting = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close_admission()
        self._admission_server.pool_name = ""
        self._admission_server.moving = False
        streams, datagrams = self._context.streams, self._context.datagrams
        streams.pool = None
        streams.is_fenced = lambda: False
        streams.trust({})
        datagrams.is_known = lambda source: False
        datagrams.on_unreachable = lambda endpoint: None
