"""The rpc-servers of a machine: one for each device that it lends, or one for several, as a leader asks.

At any time each device is served by one rpc-server. One that is to serve others begins when those that served
any of them have ended: a device's memory is lent once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import trio

from mesh.engine.backends.cpu import CPU
from mesh.engine.process.restarts import Restarts
from mesh.engine.process.supervise import State, SupervisorEvent
from mesh.engine.threads import thread_count
from mesh.wire.errors import MeshError
from worker.rpc_server import RpcServer


class LentDevice(Protocol):
    """What this machine lends of one device. Parts of a divided processor are one device to the engine."""

    @property
    def name(self) -> str:
        """What the record calls it."""

    @property
    def device(self) -> str:
        """What rpc-server calls it; empty: the engine chooses."""

    @property
    def kind(self) -> str:
        """Its kind in the backends' table."""

    @property
    def offered(self) -> int:
        """Bytes of its memory."""


@dataclass(slots=True, eq=False)
class _Serving:
    """An rpc-server and the devices that it serves, in its order."""

    names: tuple[str, ...]
    server: RpcServer
    asked: bool
    """Whether a leader asked for it: then the machine counts as ready while it begins."""
    after: list[trio.Event]
    """Those of earlier ones that have to end first."""
    ended: trio.Event = field(default_factory=trio.Event)
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)

    async def run(self) -> None:
        try:
            with self.scope:
                for ended in self.after:
                    await ended.wait()
                await self.server.run()
        finally:
            self.ended.set()


class RpcServers:
    """Owns them while ``run`` runs; serves each device by itself until a leader asks otherwise."""

    def __init__(
        self,
        program: Path,
        lent: Sequence[LentDevice],
        log_of: Callable[[str], Path],
        *,
        threads: int | None = None,
        on_event: Callable[[SupervisorEvent], None] = lambda _: None,
        restarts: Restarts | None = None,
    ) -> None:
        """``lent``: one device or more, in the record's order. ``log_of`` gives the log of a process's name.

        ``threads`` are the processor's, by default one for each core that it may use; its parts share them.
        """
        self._program = program
        self._lent = {device.name: device for device in lent}
        self._log_of = log_of
        self._threads = threads or thread_count()
        self._on_event = on_event
        self._restarts = restarts
        self._serving: list[_Serving] = []
        self._nursery: trio.Nursery | None = None
        self._begun = trio.Event()

    @property
    def ready(self) -> bool:
        """Whether at least one serves, or has only just begun because a leader asked for it."""
        return any(
            one.server.state is State.READY or (one.asked and not one.server.has_failed)
            for one in self._serving
        )

    @property
    def problem(self) -> str:
        """Why one of them was last ended for what it took; empty if none ever was."""
        return next((one.server.problem for one in self._serving if one.server.problem), "")

    async def wait_ready(self) -> None:
        """Wait, without limit, until each device is served."""
        await self._begun.wait()
        for one in tuple(self._serving):
            await one.server.wait_ready()

    async def run(self) -> None:
        """Serve until cancelled, which ends all of them."""
        try:
            async with trio.open_nursery() as self._nursery:
                for name in self._lent:
                    self._begin((name,), (), asked=False)
                self._begun.set()
                await trio.sleep_forever()
        finally:
            self._nursery = None
            self._serving.clear()

    def server(self, devices: Sequence[str]) -> RpcServer:
        """The one that serves these, by the names of the record and in this order; none: the first device.

        If there is none yet, it begins, and those that serve any of them end: so the caller must have the
        right to all. Raises MeshError where this machine does not lend what is named.
        """
        names = self._named(devices)
        found = next((one for one in self._serving if one.names == names), None)
        return found.server if found is not None else self._regroup(names)

    def present(self, devices: Sequence[str]) -> RpcServer | None:
        """The one that serves just these now, and changes nothing. Raises MeshError as ``server`` does."""
        names = self._named(devices)
        return next((one.server for one in self._serving if one.names == names), None)

    def _named(self, devices: Sequence[str]) -> tuple[str, ...]:
        names = tuple(devices) or tuple(self._lent)[:1]
        unknown = [name for name in names if name not in self._lent]
        if self._nursery is None:
            raise MeshError("the worker's rpc-server is not ready", "ask again in a moment")
        if unknown:
            has = ", ".join(self._lent)
            raise MeshError(f"this worker lends no {unknown[0]!r}, but {has}", "plan with its present record")
        if len(set(names)) < len(names):
            raise MeshError(f"{', '.join(names)}: a device is named twice", "name each once")
        return names

    def _regroup(self, names: tuple[str, ...]) -> RpcServer:
        over = [one for one in self._serving if set(one.names) & set(names)]
        for one in over:
            one.scope.cancel()
            self._serving.remove(one)
        made = self._begin(names, over, asked=True)
        for name in self._lent:
            if name not in names and any(name in one.names for one in over):
                self._begin((name,), over, asked=True)
        return made

    def _begin(self, names: tuple[str, ...], over: Sequence[_Serving], asked: bool) -> RpcServer:
        assert self._nursery is not None
        # One that has not begun yet ends at once, before those that it waits for. Each event once: in a burst
        # of requests for devices in ever other groups, the lists would double with each.
        waits = dict.fromkeys(event for one in over for event in (one.ended, *one.after))
        after = [event for event in waits if not event.is_set()]
        made = _Serving(names, self._made(names), asked, after)
        self._serving.append(made)
        self._nursery.start_soon(made.run)
        return made.server

    def _made(self, names: tuple[str, ...]) -> RpcServer:
        devices = [self._lent[name] for name in names]
        alone = len(self._lent) == 1
        # The log is that of the first device, whichever others are served with it: so there are few.
        log = "rpc-server" if alone else f"rpc-server-{_file_name(names[0])}"
        return RpcServer(
            self._program,
            self._log_of(log),
            lent=sum(device.offered for device in devices),
            threads=self._threads_of(devices),
            device=any(device.kind != CPU.name for device in devices),
            engine_devices=tuple(device.device for device in devices if device.device),
            number=min(number for number, name in enumerate(self._lent) if name in names),
            name="rpc-server" if alone else f"rpc-server ({', '.join(names)})",
            on_event=self._on_event,
            restarts=self._restarts,
        )

    def _threads_of(self, devices: Sequence[LentDevice]) -> int:
        """The processor's threads, or as many as its parts among the devices have of them."""
        parts = sum(device.kind == CPU.name for device in self._lent.values())
        own = sum(device.kind == CPU.name for device in devices)
        return max(1, self._threads * own // parts) if own else self._threads


def _file_name(device: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in device)
