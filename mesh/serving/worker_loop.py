"""The worker loop of a sidecar: rpc-server behind the gate that only the lease holder passes."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from mesh.control.paths import log_path
from mesh.engine.process.supervise import State, SupervisorEvent
from mesh.engine.types import Engine
from mesh.net.link import trusts_by
from mesh.net.session import Session
from mesh.runtime.node_context import NodeContext
from mesh.wire.facts import Claim
from worker.gate import Gate
from worker.offers import Offer
from worker.rpc_server import RpcServer

ENGINE_WAIT_SECONDS = 60.0


class WorkerLoop:
    """Serves the node's engine to the lease holder; ``ready`` once rpc-server answers."""

    def __init__(self, machine: NodeContext, holder: Callable[[], Claim | None]) -> None:
        self._machine = machine
        self._holder = holder
        self._server: RpcServer | None = None
        self.gate: Gate | None = None
        self._lent: tuple[Offer, ...] = ()

    @property
    def ready(self) -> bool:
        return self._server is not None and self._server.state is State.READY

    def lend(self, offers: Sequence[Offer]) -> None:
        """What this machine lends from now on; nothing runs before there is something."""
        self._lent = tuple(offers)
        self._machine.changes.notify()

    @property
    def problem(self) -> str:
        """What was wrong with the engine, for people; empty for nothing."""
        return "" if self._server is None else self._server.problem

    def set_holder(self, claim: Claim | None) -> None:
        """Called at the very moment the lease changes hands: older streams are cut before this returns."""
        if self.gate is not None:
            self.gate.set_holder(claim)

    def counted(self) -> dict[str, int]:
        """The gate's counters; empty while there is none."""
        return {} if self.gate is None else asdict(self.gate.counters)

    async def run(self) -> None:
        if not self._machine.options.work:
            return
        engine = await self._engine()
        self._server = RpcServer(
            engine.rpc_server,
            Path(log_path(str(self._machine.state.path), "rpc-server")),
            lent=self._lent[0].offered,
            device=engine.backend != "cpu",
            on_event=self._on_event,
        )
        self.gate = Gate(self._server, trusts_by(self._machine.tailscale))
        self.gate.set_holder(self._holder())
        try:
            await self._server.run()
        finally:
            self.gate = self._server = None

    async def handle(self, session: Session) -> None:
        """Serve a leader's stream to rpc-server."""
        if self.gate is None:
            await session.send_message({"ok": False, "reason": "the worker's engine is not ready"})
            return
        await self.gate.handle(session)

    async def _engine(self) -> Engine:
        seen = self._machine.changes.count
        while self._machine.keeper.engine is None or not self._lent:
            seen = await self._machine.changes.wait(seen, ENGINE_WAIT_SECONDS)
        return self._machine.keeper.engine

    def _on_event(self, event: SupervisorEvent) -> None:
        self._machine.changes.notify()
