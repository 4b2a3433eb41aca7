"""Gets the engine in the background: the node is a member at once, its status shows the build."""

import logging
import platform
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import trio

from mesh.control.operations import Accelerator, EngineStatus, Problem
from mesh.engine import devices
from mesh.engine.backends.cpu import CPU
from mesh.engine.detect import MachineProbes, detect
from mesh.engine.devices import EngineDevice
from mesh.engine.engine_errors import NotFetched
from mesh.engine.install.installed import find_present
from mesh.engine.types import Backend, Engine, Progress
from mesh.runtime.change_signal import ChangeSignal
from mesh.wire.errors import MeshError
from mesh.wire.states import EngineState

log = logging.getLogger(__name__)

RETRY_SECONDS = 300.0


class EngineKeeper:
    """Holds the engine once there is one; ``engine`` is None until then.

    ``devices`` are the engine's, asked of it before it counts as being there. ``backend`` is what the engine
    is, or will be, built for.
    """

    def __init__(self, cache: Path, changes: ChangeSignal) -> None:
        self.engine: Engine | None = None
        self.devices: tuple[EngineDevice, ...] = ()
        self.backend = Backend("cpu", platform.processor() or "CPU", "not looked at yet")
        self.problems: tuple[Problem, ...] = ()
        """What was wrong on the way to this engine, for people; nothing where all is as it should be."""
        self._cache = cache
        self._changes = changes
        self._status: EngineStatus = {"state": EngineState.MISSING.value, "progress": 0.0, "reason": ""}

    def status(self) -> EngineStatus:
        return self._status

    def accelerator(self) -> Accelerator:
        """What computes here first: as the engine says, or before there is one, as was detected."""
        if not self.devices:
            return {"kind": self.backend.kind, "name": self.backend.name, "reason": self.backend.reason}
        name = described(self.devices, self.backend)
        return {"kind": self.devices[0].kind, "name": name, "reason": self.backend.reason}

    async def run(self) -> None:
        """Find or build the engine. A failure is shown, and retried every five minutes."""
        self.backend = detected = await trio.to_thread.run_sync(detect)
        self._changes.notify()
        engine: Engine | None = None
        while engine is None:
            try:
                engine = await self._get(detected)
            except MeshError as error:
                log.error("engine: %s", error)
                self._set({"state": EngineState.FAILED.value, "progress": 0.0, "reason": str(error)})
                await trio.sleep(RETRY_SECONDS)
        log.info("engine: %s, commit %s, %s", engine.origin, engine.commit, engine.backend)
        self.devices = await self._ask(engine)
        self.engine = engine
        self._set({"state": EngineState.READY.value, "progress": 1.0, "reason": ""})

    async def _get(self, detected: Backend) -> Engine:
        """An engine for the accelerator; one for the processor where that cannot be built."""
        self.backend, self.problems = detected, ()
        try:
            return await self._find_or_build()
        except MeshError as error:
            if detected.kind == CPU.name or isinstance(error, NotFetched):
                raise  # in five minutes it may be better
            log.error("engine for %s: %s", detected.kind, error)
            self.backend = _instead(detected, error)
            try:
                engine = await self._find_or_build()
            except MeshError as second:
                log.error("engine for the processor: %s", second)
                self.backend = detected
                raise error from second
            self.problems = (_not_built(detected, error),)
            return engine

    async def _find_or_build(self) -> Engine:
        return await find_present(self.backend, self._cache) or await self._build()

    async def _build(self) -> Engine:
        # Imported here: a builder brings an HTTP client and more, which most starts never need.
        from mesh.engine.install.build import ensure

        return await ensure(self.backend, self._cache, self._report)

    async def _ask(self, engine: Engine) -> tuple[EngineDevice, ...]:
        """The engine's devices, the GPUs first; the processor alone where it does not say."""
        try:
            found, unused = await devices.ask(engine)
        except MeshError as error:
            log.error("devices: %s", error)
            self.problems += (_not_asked(error),)
            return devices.processor_alone(self.backend.name)
        if unused:
            log.info("devices that are not used: %s", ", ".join(unused))
        return tuple(sorted(found, key=lambda device: device.is_processor))

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


def described(found: Sequence[EngineDevice], backend: Backend) -> str:
    """The first device as its maker calls it, with how many are like it."""
    first = found[0]
    if first.is_processor and backend.kind == CPU.name:
        return backend.name  # which tells more of it than the engine does
    alike = sum((one.kind, one.description) == (first.kind, first.description) for one in found)
    return first.description if alike == 1 else f"{alike} x {first.description}"


def _instead(detected: Backend, error: MeshError) -> Backend:
    """The processor's backend, because that of ``detected`` could not be built."""
    processor = CPU.detect(MachineProbes())
    assert isinstance(processor, Backend)  # it is on every machine
    return replace(processor, reason=f"{detected.name} lies idle: {error.message}")


def _not_built(detected: Backend, error: MeshError) -> Problem:
    return {
        "code": "accelerator_idle",
        "member": None,
        "message": f"the processor computes, and {detected.name} lies idle, since the engine could not be"
        f" built for {detected.kind}: {error.message}",
        "hint": f"{error.hint}; then: mesh restart" if error.hint else "mesh restart tries it again",
    }


def _not_asked(error: MeshError) -> Problem:
    return {
        "code": "devices_unknown",
        "member": None,
        "message": f"the engine's devices are not known, so the processor alone is lent: {error.message}",
        "hint": error.hint or "mesh restart asks again",
    }
