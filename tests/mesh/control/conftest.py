import shutil
import tempfile
from collections.abc import Iterator

import pytest


@pytest.fixture
def socket_path() -> Iterator[str]:
    """A path short enough for a socket, which pytest's own directories are not."""
    directory = tempfile.mkdtemp(prefix="mesh-")
    yield f"{directory}/inner/mesh.sock"
    shutil.rmtree(directory)
