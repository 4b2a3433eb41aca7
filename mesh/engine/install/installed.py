"""Finds an existing engine. Apart from building one, which imports an HTTP client and more."""

import os
from pathlib import Path

import trio

from mesh.engine.install.cache import find_built
from mesh.engine.install.locate import find_installed
from mesh.engine.types import Backend, Engine


async def find_present(backend: Backend, cache: Path) -> Engine | None:
    """An engine for ``backend`` that is installed or in ``cache``, in this order.

    Raises EngineError when MESH_LLAMA_DIR names none.
    """
    engine = await find_installed()
    if engine is not None and (engine.backend == backend.kind or os.environ.get("MESH_LLAMA_DIR")):
        return engine
    return await trio.to_thread.run_sync(find_built, cache, backend.kind, backend.flags)
