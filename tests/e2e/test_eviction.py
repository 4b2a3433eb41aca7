"""`mesh evict`: out everywhere, at once, and for ever."""

from pathlib import Path

import pytest
import trio

from tests.e2e.pools import (
    JOIN,
    alive,
    chat,
    form_pool,
    found,
    holders,
    is_ready,
    join,
    leader,
    make_model,
    status_when,
)
from tests.lab.host import Host
from tests.lab.lab import Lab
from tests.lab.terminal import OnTerminal

pytestmark = pytest.mark.usefixtures("engine")


def names(status: dict[str, object]) -> set[str]:
    members = status.get("members", [])
    assert isinstance(members, list)
    return {member["name"] for member in members}


async def is_out(host: Host, seconds: float) -> str:
    """Wait for the sidecar of an evicted host to end; what commands say there then."""
    with trio.fail_after(seconds):
        while True:
            if host.sidecar() is None:
                break
            await trio.sleep(0.02)
    status = host.status()
    assert status["error"]["code"] == "not_joined"
    return str(status["error"]["message"])


async def test_an_evicted_member_is_out_everywhere_within_two_seconds_and_told_by_whom(lab: Lab) -> None:
    hosts = lab.hosts(3)
    anna, bert, cara = hosts
    form_pool(hosts)
    for host in hosts:
        await status_when(host, lambda status: len(alive(status)) == 3)
    printed = (await anna.amesh("evict", "bert", "--yes")).stdout
    assert printed == "evicted bert\n"
    said = ""

    async def bert_ends() -> None:
        nonlocal said
        said = await is_out(bert, 2.0)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(bert_ends)
        for host in (anna, cara):
            nursery.start_soon(status_when, host, lambda status: "bert" not in names(status), 2.0)
    assert said.startswith("this machine was evicted from pool ")
    assert said.endswith(" by anna")
    assert [process for process in bert.processes() if "llama" in process.name()] == []
    assert alive(anna.status()) == {"anna", "cara"}


async def test_who_was_evicted_comes_back_neither_with_its_key_nor_with_its_invite(lab: Lab) -> None:
    anna, bert = lab.hosts(2)
    token = found(anna)
    join(bert, token)
    anna.mesh("evict", "bert", "--yes")
    await is_out(bert, 5.0)
    # As if the power had failed before the sidecar had noted that it is in no pool any more.
    state = next(bert.folder.rglob("identity.key")).parent
    (state / "evicted").unlink()
    (state / "current").write_text(anna.status()["pool"]["id"])
    for again in (token, anna.mesh_json("invite")["token"]):
        refused = bert.mesh("join", again, *JOIN, check=False)
        assert refused.returncode == 1
        assert "was evicted from the pool" in refused.stderr
    assert bert.mesh("leave", "--purge").returncode == 0
    refused = bert.mesh("join", token, *JOIN, check=False)
    assert "that invite was closed" in refused.stderr
    join(bert, anna.mesh_json("invite")["token"])
    assert alive(await status_when(anna, lambda status: len(alive(status)) == 2)) == {"anna", "bert"}


async def test_a_member_that_was_cut_off_learns_of_its_eviction_when_it_is_back(lab: Lab) -> None:
    anna, bert, cara = lab.hosts(3)
    form_pool([anna, bert, cara])
    await status_when(cara, lambda status: len(alive(status)) == 3)
    bert.cut()
    await anna.amesh("evict", "bert", "--yes")
    await status_when(cara, lambda status: "bert" not in names(status), 2.0)
    bert.heal()
    assert "by anna" in await is_out(bert, 10.0)


async def test_the_layers_of_an_evicted_worker_are_placed_anew(lab: Lab, tmp_path: Path) -> None:
    hosts = lab.hosts(4)
    form_pool(hosts)
    await hosts[0].amesh("serve", make_model(tmp_path), "--ctx", "512", "--slots", "1", "--wait", timeout=120)
    status = await status_when(hosts[0], is_ready)
    worker = next(host for host in hosts if host.name in holders(status) and host.name != leader(status))
    owner = next(host for host in hosts if host is not worker)
    await owner.amesh("evict", worker.name, "--yes")
    await is_out(worker, 5.0)
    status = await status_when(owner, lambda s: is_ready(s) and worker.name not in holders(s))
    assert await chat(owner)


async def test_an_eviction_is_asked_about_at_a_terminal_and_refused_to_who_is_no_owner(lab: Lab) -> None:
    anna, vera = lab.host("anna"), lab.host("vera")
    found(anna)
    join(vera, anna.mesh_json("invite")["token"])
    await status_when(anna, lambda status: "vera" in names(status))
    assert anna.mesh("evict", "vera", check=False).returncode == 2
    assert "no owner" in vera.mesh("evict", "anna", "--yes", check=False).stderr
    assert "no member 'nobody'" in anna.mesh("evict", "nobody", "--yes", check=False).stderr
    async with OnTerminal(anna, anna.mesh_command("evict", "vera")) as terminal:
        await terminal.shows(r"evict vera \(\w{26}\) from pool \S+ for ever\? \[y/N\]")
        terminal.types("n\n")
        assert await terminal.ends() == 1
    assert alive(anna.status()) == {"anna", "vera"}
    async with OnTerminal(anna, anna.mesh_command("evict", "vera")) as terminal:
        await terminal.shows("for ever")
        terminal.types("y\n")
        await terminal.shows("evicted vera")
        assert await terminal.ends() == 0
