import sys
from types import SimpleNamespace

import pytest

from tests.mesh.cli.conftest import Terminal


def test_the_demo_gives_its_exit_code(mesh: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        sys.modules, "mesh.tools.demo", SimpleNamespace(main=lambda as_json: 7 if as_json else 0)
    )
    assert mesh.run("demo").code == 0
    assert mesh.run("demo", "--json").code == 7
