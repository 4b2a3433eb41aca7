"""Machines that end in one way or another, and come back."""

import signal
from pathlib import Path

import pytest

from tests.e2e.pools import JOIN, alive, form_pool, found, join, leader, status_when
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = pytest.mark.usefixtures("engine")


def state_dir(host: Host) -> Path:
    return next(host.folder.rglob("settings.json")).parent


async def until_state(host: Host, name: str, state: str) -> None:
    """Wait until the host holds the member for alive, dead or left."""
    await status_when(host, lambda s: (name, state) in {(m["name"], m["state"]) for m in s["members"]}, 10.0)


async def test_a_killed_machine_comes_back_with_its_pool_its_name_and_its_company(lab: Lab) -> None:
    anna, bert = lab.hosts(2)
    join(bert, found(anna))
    before = await status_when(anna, lambda status: len(alive(status)) == 2)
    await status_when(bert, lambda _: (state_dir(bert) / "peers.json").exists(), 5.0)
    bert.kill_sidecar()
    await until_state(anna, "bert", "dead")
    assert "2 machines alive" in bert.mesh("join").stdout
    after = bert.status()
    assert alive(after) == {"anna", "bert"}
    assert after["pool"] == before["pool"]
    assert after["leader"] == before["leader"], "who comes back does not take itself for alone"


async def test_without_remembered_addresses_it_is_seen_on_the_local_network(lab: Lab) -> None:
    if not lab.with_namespaces:
        pytest.skip("machines on 127.x.y.z share no multicast")
    anna, bert = lab.hosts(2)
    join(bert, found(anna))
    await status_when(bert, lambda _: (state_dir(bert) / "peers.json").exists(), 5.0)
    bert.kill_sidecar()
    (state_dir(bert) / "peers.json").unlink()
    assert "2 machines alive" in bert.mesh("join").stdout
    assert leader(bert.status()) == "anna"


async def test_one_that_is_told_to_end_is_seen_to_leave_and_a_join_waits_for_its_end(lab: Lab) -> None:
    anna, bert = lab.hosts(2)
    join(bert, found(anna))
    old = bert.kill_sidecar(signal.SIGTERM)
    await until_state(anna, "bert", "left")
    assert "2 machines alive" in bert.mesh("join").stdout
    new = bert.sidecar()
    assert new is not None
    assert new.pid != old.pid
    await until_state(anna, "bert", "alive")


async def test_members_and_even_the_founder_leave_and_are_let_in_again(lab: Lab) -> None:
    anna, bert = lab.hosts(2)
    token = found(anna)
    join(bert, token)
    bert.mesh("leave")
    assert alive(anna.status()) == {"anna"}
    bert.mesh("join", token)
    await until_state(anna, "bert", "alive")
    back = bert.mesh_json("invite", "--rights", "work,ask,lead,own")["token"]
    anna.mesh("leave")
    await until_state(bert, "anna", "left")
    anna.mesh("join", back)
    await until_state(bert, "anna", "alive")
    assert anna.status()["pool"] == bert.status()["pool"]


async def test_a_machine_with_a_pool_is_not_led_to_another_by_address(lab: Lab) -> None:
    anna, bert, cara = lab.hosts(3)
    join(bert, found(anna))
    found(cara)
    address = cara.status()["self"]["address"]
    refused = bert.mesh("join", address, check=False)
    assert refused.returncode == 1
    assert "already belongs to pool" in refused.stderr
    assert "already in pool" in bert.mesh("join", anna.status()["self"]["address"]).stdout


def test_damaged_state_that_matters_is_named_with_what_to_do(lab: Lab) -> None:
    (anna,) = lab.hosts(1)
    found(anna)
    folder = state_dir(anna)
    anna.kill_sidecar().wait(5)
    for file, content, said in (("current", b"no id", "is damaged"), ("identity.key", b"short", "not a key")):
        (folder / file).write_bytes(content)
        result = anna.mesh("join", check=False)
        assert result.returncode == 1
        assert said in result.stderr
        assert str(folder / file) in result.stderr
        assert "hint:" in result.stderr


def test_damaged_state_that_does_not_matter_is_done_without(lab: Lab) -> None:
    (anna,) = lab.hosts(1)
    found(anna)
    folder = state_dir(anna)
    anna.kill_sidecar().wait(5)
    (folder / "settings.json").write_bytes(b'{"port": "many", "memory": [], "name": 7}')
    (folder / "invites.json").write_bytes(b'{"00": {"expires": "soon"}, "01": 5}')
    (folder / "peers.json").write_bytes(b'{"x": 1')
    (folder / "models.json").write_bytes(b"\xff")
    anna.mesh("join", *JOIN)
    assert anna.mesh_json("invite")["uses"] == 1
    assert anna.mesh_json("models")["models"] == []


async def test_a_machine_that_was_killed_comes_back_on_another_port(lab: Lab) -> None:
    anna, bert, cara = lab.hosts(3)
    form_pool([anna, bert, cara])
    bert.kill_sidecar().wait(5)
    await status_when(anna, lambda status: "bert" not in alive(status))
    bert.mesh("join", "--port", "50077")
    for host in (anna, bert, cara):
        status = await status_when(host, lambda status: len(alive(status)) == 3, seconds=20)
    address = next(member["address"] for member in status["members"] if member["name"] == "bert")
    assert address.endswith(":50077")
