from pathlib import Path

import pytest

from tests.mesh.cli.conftest import FakeSidecar, Terminal


async def test_leaving_tells_the_sidecar_and_waits_for_its_end(
    mesh: Terminal, sidecar: FakeSidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[int] = []

    def ended(pid: int) -> bool:
        waited.append(pid)
        return True

    monkeypatch.setattr("mesh.cli.spawning.wait_until_it_ended", ended)
    sidecar.answers["leave"] = {"pool": {"id": "p", "name": "attic"}, "pid": 4711}
    outcome = await mesh("leave", "--purge")
    assert (outcome.code, outcome.out) == (0, "left pool attic\n")
    assert sidecar.asked == [("leave", {"purge": True})]
    assert waited == [4711]


async def test_a_sidecar_that_does_not_end_is_an_error(
    mesh: Terminal, sidecar: FakeSidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.cli.spawning.wait_until_it_ended", lambda pid: False)
    sidecar.answers["leave"] = {"pool": {"id": "p", "name": "attic"}, "pid": 4711}
    outcome = await mesh("leave")
    assert outcome.code == 1
    assert "kill -9 4711" in outcome.err


def test_without_a_sidecar_leaving_forgets_the_pool(mesh: Terminal, state_dir: Path) -> None:
    from mesh.runtime.state import StateDir
    from mesh.wire.identity import pool_id

    StateDir(state_dir).enter(pool_id(bytes(32)))
    assert mesh.run("leave").code == 0
    assert StateDir(state_dir).current_pool() is None
    assert mesh.run("leave").code == 3


def test_purging_without_a_sidecar_removes_the_state(mesh: Terminal, state_dir: Path) -> None:
    (state_dir / "identity.key").write_bytes(bytes(32))
    assert mesh.run("leave", "--purge").code == 0
    assert not state_dir.exists()


def test_where_never_a_node_was_leaving_creates_nothing(mesh: Terminal, tmp_path: Path) -> None:
    mesh.state_dir = tmp_path / "none"
    assert mesh.run("leave", "--purge").code == 3
    assert not mesh.state_dir.exists()
