"""The devices that the engine of this machine has, asked by a command: without a sidecar, and beside one."""

import trio

from mesh.engine import devices
from mesh.engine.backends.cpu import CPU
from mesh.engine.detect import detect
from mesh.engine.devices import EngineDevice
from mesh.engine.install.cache import cache_dir
from mesh.engine.install.installed import find_present
from mesh.engine.types import Backend
from mesh.wire.errors import MeshError


def devices_here() -> tuple[EngineDevice, ...] | None:
    """The devices; None where the engine that knows them is not there yet, or does not say.

    Takes a second or so, half a minute where a driver hangs.
    """
    try:
        backend = detect()
        return trio.run(_ask, backend)
    except MeshError:
        return None


async def _ask(backend: Backend) -> tuple[EngineDevice, ...] | None:
    engine = await find_present(backend, cache_dir())
    if engine is None:
        return devices.processor_alone(backend.name) if backend.kind == CPU.name else None
    found, _ = await devices.ask(engine)
    return found
