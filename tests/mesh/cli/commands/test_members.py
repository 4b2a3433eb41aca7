from tests.mesh.cli import examples
from tests.mesh.cli.conftest import FakeSidecar, Terminal


async def test_members_are_listed_with_ids_and_engines(mesh: Terminal, sidecar: FakeSidecar) -> None:
    sidecar.answers["status"] = examples.status()
    heading, *lines = (await mesh("members")).out.splitlines()
    assert heading.split()[:2] == ["NAME", "ID"]
    assert lines[0].split()[:2] == ["alpha", examples.ALPHA]
    assert "0c1e57098 rpc 7.0.0" in lines[0]
    assert len(lines) == 3


async def test_json_has_the_same_members_as_status(mesh: Terminal, sidecar: FakeSidecar) -> None:
    sidecar.answers["status"] = examples.status()
    assert (await mesh("members", "--json")).json()["members"] == examples.status()["members"]
