from collections.abc import Iterator

import pytest

from tests.mesh.engine.install.fake_index import FakeIndex, serve_index


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeIndex]:
    """A package index of the test's own, which this process is set up for."""
    for variable in (
        "HTTP_PROXY",
        "http_proxy",
        "ALL_PROXY",
        "all_proxy",
        "UV_DEFAULT_INDEX",
        "UV_INDEX_URL",
    ):
        monkeypatch.delenv(variable, raising=False)
    with serve_index() as served:
        monkeypatch.setenv("PIP_INDEX_URL", served.url)
        yield served
