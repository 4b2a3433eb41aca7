"""The real engine for tests that need one: the cached one, or built at the first use, which takes minutes."""

import pytest
import trio

from mesh.engine.detect import detect
from mesh.engine.install.build import ensure
from mesh.engine.install.cache import cache_dir
from mesh.engine.types import Engine


@pytest.fixture(scope="session")
def engine() -> Engine:
    """llama.cpp's programs for this machine. ``python -m mesh.engine`` makes them ready beforehand."""
    return trio.run(ensure, detect(), cache_dir(), lambda progress: None)
