"""Gets the engine in the background: the node is a member at once, its status shows the build."""

import logging
import platform
from pathlib import Path

import trio

from mesh.control.operations import Accelerator, EngineStatus
from mesh.engine.detect import detect
from mesh.engine.install.installed import find_present
from mesh.engine.types import Backend, Engine, Progress
from mesh.runtime.change_signal import ChangeSignal
from mesh.wire.errors import MeshError
from mesh.wire.states import EngineState

log = logging.getLogger(__name__)

RETRY_SECONDS = 300.0


class EngineKeeper:
    """Holds the engine once there is one; ``engine`` is None until then."""

    def __init__(self, cache: Path, changes: ChangeSignal) -> None:
        self.engine: Engine | None = None
        self.backend = Backend("cpu", platform.processor() or "CPU", "not looked at yet")
        self._cache = cache
        self._changes = changes
        self._status: EngineStatus = {"state": EngineState.MISSING.value, "progress": 0.0, "reason": ""}

    def status(self) -> EngineStatus:
        return self._status

    def accelerator(self) -> Accelerator:
        return {"kind": self.backend.kind, "name": self.backend.name, "reason": self.backend.reason}

    async def run(self) -> None:
        """Find or build the engine. A failure is shown, and retried every five minutes."""
        self.backend = await trio.to_thread.run_sync(detect)
        self._changes.notify()
        while self.engine is None:
            try:
                self.engine = await find_present(self.backend, self._cache) or await self._build()
            except MeshError as error:
                log.error("engine: %s", error)
                self._set({"state": EngineState.FAILED.value, "progress": 0.0, "reason": str(error)})
                await trio.sleep(RETRY_SECONDS)
        log.info("engine: %s, commit %s, %s", self.engine.origin, self.engine.commit, self.engine.backend)
        self._set({"state": EngineState.READY.value, "progress": 1.0, "reason": ""})

    async def _build(self) -> Engine:
        # Imported here: a builder brings an HTTP client and more, which most starts never need.
        from mesh.engine.install.build import ensure

        return await ensure(self.backend, self._cache, self._report)

    def _report(self, progress: Progress) -> None:
        left = f", {progress.eta_seconds:.0f} s left" if progress.eta_seconds is not None else ""
        self._set(
            {
                "state": EngineState.BUILDING.value,
                "progress": round(progress.fraction, 3),
                "reason": f"{progress.text}{left}",
            }
        )

    def _set(self, status: EngineStatus) -> None:
        self._status = status
        self._changes.notify()
