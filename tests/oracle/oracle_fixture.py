"""The oracle for tests: the cached one, or built at the first use, which takes minutes."""

import pytest
import trio

from mesh.engine.install.cache import cache_dir
from tests.oracle.build import Oracle, ensure_oracle


@pytest.fixture(scope="session")
def oracle() -> Oracle:
    """The engine's tools. ``python -m tests.oracle.build`` makes them ready beforehand."""
    return trio.run(ensure_oracle, cache_dir())
