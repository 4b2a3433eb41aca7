"""The worker loop of a sidecar: its rpc-servers behind the gate that only the lease holder passes."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import trio

from mesh.control.paths import log_path
from mesh.engine.process.supervise import SupervisorEvent
from mesh.engine.types import Engine
from mesh.net.link import trusts_by
from mesh.net.session import Session
from mesh.runtime.node_context import NodeContext
from mesh.wire.facts import Claim
from worker.gate import Gate
from worker.rpc_server import RpcServer
from worker.rpc_servers import LentDevice, RpcServers

ENGINE_WAIT_SECONDS = 60.0


class WorkerLoop:
    """Serves the node's engine to the lease holder; ``ready`` once an rpc-server answers."""

    def __init__(self, machine: NodeContext, holder: Callable[[], Claim | None]) -> None:
        self._machine = machine
        self._servers: RpcServers | None = None
        self.holder = holder
        """Gives the claim that holds this worker's lease."""
        self.gate: Gate | None = None
        self._lent: tuple[LentDevice, ...] = ()

    @property
    def ready(self) -> bool:
        return self._servers is not None and self._servers.ready

    def lend(self, devices: Sequence[LentDevice]) -> None:
        """What this machine lends from now on, in the order of its record; nothing runs before this.

        Where that is a change, all rpc-servers begin anew.
        """
        lent = tuple(devices)
        if lent != self._lent:
            self._lent = lent
            self._machine.changes.notify()

    @property
    def problem(self) -> str:
        """What was wrong with the engine, for people; empty for nothing."""
        return "" if self._servers is None else self._servers.problem

    def set_holder(self, claim: Claim | None) -> None:
        """Called at the very moment the lease changes hands: older streams are cut before this returns."""
        if self.gate is not None:
            self.gate.set_holder(claim)

    def counted(self) -> dict[str, int]:
        """The gate's counters; empty while there is none."""
        return {} if self.gate is None else asdict(self.gate.counters)

    def serving(self, devices: Sequence[str]) -> RpcServer | None:
        """The rpc-server that serves just these devices now. Raises MeshError where none are lent."""
        return None if self._servers is None else self._servers.present(devices)

    async def run(self) -> None:
        while self._machine.options.work:
            engine, lent = await self._means()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._serve, engine, lent)
                changed = partial(self._differs, engine, lent)
                await self._machine.changes.cancel_when(nursery.cancel_scope, changed)

    def _differs(self, engine: Engine, lent: Sequence[LentDevice]) -> bool:
        return self._machine.keeper.engine != engine or self._lent != lent

    async def _serve(self, engine: Engine, lent: Sequence[LentDevice]) -> None:
        self._servers = RpcServers(
            engine.rpc_server,
            lent,
            lambda name: Path(log_path(str(self._machine.state.path), name)),
            on_event=self._on_event,
        )
        self.gate = Gate(self._servers, trusts_by(self._machine.tailscale))
        self.gate.set_holder(self.holder())
        try:
            await self._servers.run()
        finally:
            self.gate.set_holder(None)
            self.gate = self._servers = None

    async def handle(self, session: Session) -> None:
        """Serve a leader's stream to rpc-server."""
        if self.gate is None:
            await session.send_message({"ok": False, "reason": "the worker's engine is not ready"})
            return
        await self.gate.handle(session)

    async def _means(self) -> tuple[Engine, tuple[LentDevice, ...]]:
        """The engine and the devices, once both are there."""
        seen = self._machine.changes.count
        while (engine := self._machine.keeper.engine) is None or not self._lent:
            seen = await self._machine.changes.wait(seen, ENGINE_WAIT_SECONDS)
        return engine, self._lent

    def _on_event(self, event: SupervisorEvent) -> None:
        self._machine.changes.notify()
