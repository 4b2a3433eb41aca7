"""Whatever is asked, and however it ends: nothing of it may fail in a way that nobody thought of."""

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _nothing_fails(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    failed = [record for record in caplog.get_records("call") if record.name == "mesh.gateway.connection"]
    assert [record.getMessage() for record in failed if record.levelname == "ERROR"] == []
