"""`mesh join` on a network with a pool, without a token: a code is shown, and an owner types it."""

import pytest

from tests.e2e.pools import JOIN, alive, found, join, status_when
from tests.lab.host import Host
from tests.lab.lab import Lab
from tests.lab.terminal import OnTerminal

pytestmark = pytest.mark.usefixtures("engine")

CODE = r"mesh approve (\d+-[a-z]+-[a-z]+-[a-z]+)"


def joining(host: Host) -> OnTerminal:
    return OnTerminal(host, host.mesh_command("join", "--name", host.name, *JOIN))


def needs_multicast(lab: Lab) -> None:
    if not lab.with_namespaces:
        pytest.skip("machines on 127.x.y.z share no multicast")


async def test_an_owner_lets_in_a_machine_that_waits_at_another_members_door(lab: Lab) -> None:
    needs_multicast(lab)
    anna, vera, cara = lab.hosts(3)
    found(anna)
    join(vera, anna.mesh_json("invite")["token"])
    async with joining(cara) as terminal:
        code = (await terminal.shows(CODE))[1]
        number, how, *rest = code.split("-")
        wrong = "-".join([number, "bold" if how != "bold" else "calm", *rest])
        refused = await anna.amesh("approve", wrong, check=False)
        assert refused.returncode == 1
        assert "code is wrong" in refused.stderr
        await terminal.shows("wrong code was tried")
        await terminal.shows(rf"(?s)mesh approve {code}.*{CODE}")
        last = terminal.printed.rpartition("mesh approve ")[2].split()[0]
        refused = await vera.amesh("approve", last, check=False)
        assert "no owner" in refused.stderr
        printed = (await anna.amesh("approve", last, "--rights", "work,ask,lead")).stdout
        assert printed == "cara is in the pool, with the rights work, ask, lead\n"
        await terminal.shows("joined pool .*3 machines alive")
        assert await terminal.ends() == 0
    for host in (anna, vera, cara):
        status = await status_when(host, lambda status: len(alive(status)) == 3)
        rights = {member["name"]: member["rights"] for member in status["members"]}
        assert rights["cara"] == ["work", "ask", "lead"]


async def test_without_a_terminal_nobody_is_waited_for(lab: Lab) -> None:
    needs_multicast(lab)
    anna, bert = lab.hosts(2)
    found(anna)
    refused = await bert.amesh("join", *JOIN, check=False)
    assert refused.returncode == 1
    assert "there is a pool on this network" in refused.stderr
    assert "mesh invite" in refused.stderr
    assert bert.sidecar() is None


async def test_a_named_host_is_waited_at_in_the_same_way(lab: Lab) -> None:
    anna, bert = lab.hosts(2)
    found(anna)
    door = anna.status()["self"]["address"]
    async with OnTerminal(bert, bert.mesh_command("join", door, "--name", "bert", *JOIN)) as terminal:
        code = (await terminal.shows(CODE))[1]
        await anna.amesh("approve", *code.split("-"))
        assert await terminal.ends() == 0
    assert alive(await status_when(anna, lambda status: len(alive(status)) == 2)) == {"anna", "bert"}
