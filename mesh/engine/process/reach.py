"""How the sidecar reaches a confined engine, and the engine the sidecar: by a cell's sockets, or by loopback.

In a cell no port of the engine exists on the machine. Where none can be made, engine and sidecar listen at an
address of 127/8 of their own, and the kernel says whether it is the engine that either of them speaks with.
On macOS an engine that can listens on a unix socket instead, which only this user reaches.
"""

import random
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final, Protocol

import trio

from mesh.engine.process import socket_folder
from mesh.engine.process.loopback_owner import ANYBODY, Address, belongs_to
from mesh.engine.process.rpc_port import free_port
from mesh.engine.sandbox.confinement import Confinement

LOCALHOST: Final = "127.0.0.1"
CELL_PORT: Final = 8080
"""Where an engine listens in its cell."""
FIRST_PORT: Final = 20001
"""Where the sidecar's first listener is in a cell; the others have the ports above."""
CELL_SECONDS: Final = 20.0
"""Until a cell's listeners are made, on a machine that does much else."""
BROKER_SECONDS: Final = 5.0
"""For a socket of a cell, with all that ask at once."""
BACKLOG: Final = 64


class Reach(Protocol):
    """The ways between the sidecar and one start of an engine."""

    confinement: Confinement
    host: str
    """The address that the engine is to listen at, or the path of a unix socket, ..."""
    port: int
    """... and the port; 0 with a path."""
    endpoints: list[str]
    """``host:port`` of each of the sidecar's listeners, as the engine connects to them."""
    descriptors: tuple[int, ...]
    """What the program inherits."""

    def started(self, process: int) -> None:
        """The engine was started, and has inherited the descriptors."""

    async def listeners(self) -> "list[trio.abc.Listener[trio.SocketStream]]":
        """The sidecar's listeners, in order; waits until they are made. Raises OSError if they are not.

        Called once. Until it has returned nothing connects, and once it has failed nothing ever does.
        """

    async def connect(self) -> trio.SocketStream:
        """A connection to the engine. Raises OSError where it does not listen, or has ended."""

    def close(self) -> None:
        """Let go of it: nothing connects any more."""


class Cell:
    """By sockets that a broker in the engine's network namespace hands out."""

    def __init__(self, wanted: Confinement, listeners: int = 0) -> None:
        ports = tuple(range(FIRST_PORT, FIRST_PORT + listeners))
        self.host, self.port = LOCALHOST, CELL_PORT
        self.endpoints = [f"{LOCALHOST}:{port}" for port in ports]
        ours, self._theirs = socket.socketpair()
        self._line = trio.socket.from_stdlib_socket(ours)
        self.descriptors: tuple[int, ...] = (self._theirs.fileno(),)
        self.confinement = replace(
            wanted, cell=True, listens=(CELL_PORT,), connects=ports, hears=ports, line=self._theirs.fileno()
        )
        self._is_made = trio.Event()
        self._asking = trio.Lock()
        self._is_asked = False

    def started(self, process: int) -> None:
        self._theirs.close()

    async def listeners(self) -> "list[trio.abc.Listener[trio.SocketStream]]":
        try:
            with _answered_within(CELL_SECONDS):
                made = await self._received(len(self.endpoints))
        except BaseException:
            self.close()  # what comes later would be taken for the answer to a question
            raise
        self._is_made.set()
        return [trio.SocketListener(trio.socket.from_stdlib_socket(one)) for one in made]

    async def connect(self) -> trio.SocketStream:
        connection = trio.socket.from_stdlib_socket(await self._socket())
        try:
            await connection.connect((self.host, self.port))
        except BaseException:
            connection.close()
            raise
        return trio.SocketStream(connection)

    async def _socket(self) -> socket.socket:
        with _answered_within(BROKER_SECONDS):
            await self._is_made.wait()
            async with self._asking:
                # One socket is as good as another: the answer that a cancelled question left is taken first.
                if not self._is_asked:
                    await self._line.send(b"?")
                    self._is_asked = True
                (made,) = await self._received(1)
        return made

    async def _received(self, count: int) -> list[socket.socket]:
        space = socket.CMSG_SPACE(4 * max(1, count))
        data, ancillary, _flags, _address = await self._line.recvmsg(1, space, socket.MSG_CMSG_CLOEXEC)
        self._is_asked = False
        numbers = memoryview(b"".join(item[2] for item in ancillary)).cast("i").tolist()
        made = [socket.socket(fileno=number) for number in numbers]
        if not data or len(made) != count:
            for one in made:
                one.close()
            raise ConnectionRefusedError(
                f"{len(made)} sockets of the engine's cell came, not {count}" if data else _ENDED
            )
        return made

    def close(self) -> None:
        self._line.close()
        self._theirs.close()
        self._is_made.set()


_ENDED = "the engine's cell has ended"


@contextmanager
def _answered_within(seconds: float) -> Iterator[None]:
    """A silent broker and a line that is closed meanwhile are errors of the connection too."""
    try:
        with trio.fail_after(seconds):
            yield
    except trio.TooSlowError:
        raise TimeoutError(f"the engine's cell gave no socket within {seconds:.0f} s") from None
    except trio.ClosedResourceError:
        raise ConnectionRefusedError(_ENDED) from None


class Loopback:
    """By addresses of this machine alone: every local user can try them."""

    def __init__(self, wanted: Confinement, listeners: int = 0) -> None:
        self.host = _own_address()
        self._listening = [socket.create_server((self.host, 0), backlog=BACKLOG) for _ in range(listeners)]
        self.port = free_port(self.host)  # only now, or a listener could be given the engine's
        names = [one.getsockname() for one in self._listening]
        self.endpoints = [f"{host}:{port}" for host, port in names]
        self.descriptors: tuple[int, ...] = ()
        self.confinement = replace(wanted, listens=(self.port,), connects=tuple(port for _, port in names))
        self._process: int | None = None

    def started(self, process: int) -> None:
        self._process = process

    async def listeners(self) -> "list[trio.abc.Listener[trio.SocketStream]]":
        await trio.lowlevel.checkpoint()
        made = [trio.SocketListener(trio.socket.from_stdlib_socket(one)) for one in self._listening]
        self._listening = []
        return [_EnginesAlone(one, self) for one in made]

    async def connect(self) -> trio.SocketStream:
        stream = await trio.open_tcp_stream(self.host, self.port)
        # Another program may have taken the port before the engine did, or after its end.
        if not await self.is_the_engines(stream, (self.host, self.port), ANYBODY):
            raise ConnectionRefusedError("the engine does not listen")
        return stream

    async def is_the_engines(
        self, stream: trio.SocketStream, theirs: Address, ours: Address | tuple[()]
    ) -> bool:
        """Whether the engine has the end ``theirs``; closes the stream where it has not.

        Where no kernel can tell, it has.
        """
        is_its, process = False, self._process
        try:
            if process is not None:
                is_its = sys.platform != "linux" or await trio.to_thread.run_sync(
                    belongs_to, process, theirs, ours
                )
        finally:
            if not is_its:
                stream.socket.close()
        return is_its

    def close(self) -> None:
        self._process = None
        for one in self._listening:
            one.close()


class UnixSocket(Loopback):
    """Like `Loopback`, but the engine listens on a unix socket in a folder that this user alone may enter.

    On macOS alone: Linux's filter tells no unix socket from another, so an engine that has any could go to
    the sockets of this user's daemons.
    """

    def __init__(self, wanted: Confinement, listeners: int = 0) -> None:
        self._socket = socket_folder.make("engine.sock")
        super().__init__(wanted, listeners)
        self.host, self.port = str(self._socket), 0
        self.confinement = replace(self.confinement, listens=(), socket=self.host)

    async def connect(self) -> trio.SocketStream:
        return await trio.open_unix_socket(self._socket)

    def close(self) -> None:
        super().close()
        socket_folder.remove(self._socket)


class _EnginesAlone(trio.abc.Listener[trio.SocketStream]):
    """A listener that closes all connections but the engine's at once."""

    def __init__(self, listener: trio.SocketListener, reach: Loopback) -> None:
        self._listener = listener
        self._reach = reach

    async def accept(self) -> trio.SocketStream:
        while True:
            stream = await self._listener.accept()
            ours = stream.socket.getsockname()
            try:
                theirs = stream.socket.getpeername()
            except OSError:  # it was reset
                stream.socket.close()
                continue
            if await self._reach.is_the_engines(stream, theirs, ours):
                return stream

    async def aclose(self) -> None:
        await self._listener.aclose()


def reach(wanted: Confinement, cells: bool, listeners: int = 0, *, unix: bool = False) -> Reach:
    """The ways to and from one start of an engine that is confined like that.

    ``unix``: it can listen on a unix socket.
    """
    if cells:
        return Cell(wanted, listeners)
    if unix and sys.platform == "darwin":
        return UnixSocket(wanted, listeners)
    return Loopback(wanted, listeners)


def _own_address() -> str:
    """An address of loopback that nothing else has, where the system has more than one."""
    if sys.platform != "linux":
        return LOCALHOST
    draw = random.SystemRandom().randrange
    return f"127.{draw(1, 255)}.{draw(256)}.{draw(1, 255)}"
