"""Operations on the process itself, with or without a pool, and what `mesh status` shows."""

import os

from mesh.control.operations import Info, NoArgs, ShutdownResult, Status
from mesh.operations.home import EmitEvent, Home, joined_pool
from mesh.runtime.program_build import build, version


class NodeOperations:
    """Describes this node, and ends its sidecar."""

    def __init__(self, home: Home) -> None:
        self._home = home

    async def info(self, args: NoArgs, emit: EmitEvent) -> Info:
        home = self._home
        return {
            "pid": os.getpid(),
            "version": version(),
            "build": build(),
            "state_dir": str(home.state.path),
            "joined": home.pool is not None,
            "stopping": home.leaving or home.stopping.is_set(),
            "options": home.options.values(),
        }

    async def status(self, args: NoArgs, emit: EmitEvent) -> Status:
        return joined_pool(self._home).status()

    async def shutdown(self, args: NoArgs, emit: EmitEvent) -> ShutdownResult:
        self._home.stopping.set()
        return {"pid": os.getpid()}
