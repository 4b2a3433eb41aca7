"""A hostile host on the network: whatever it does is refused and counted, and the pool goes on."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.e2e.pools import (
    JOIN,
    alive,
    chat,
    client,
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

pytestmark = pytest.mark.usefixtures("engine")

ROOT = str(Path(__file__).parents[2])
SERVE = ("--ctx", "512", "--slots", "1", "--wait")


def command(attack: str, arguments: Mapping[str, Any]) -> list[str]:
    return [sys.executable, "-m", "tests.lab.hostile", attack, json.dumps(arguments)]


async def attack(
    host: Host, kind: str, target: Host, within: float = 120, **arguments: Any
) -> dict[str, Any]:
    """Run an attack to its end; what it says came of it."""
    arguments["target"] = address(target)
    result = await host.arun(command(kind, arguments), PYTHONPATH=ROOT, timeout=within)
    outcome: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return outcome


def address(host: Host) -> str:
    return str(host.status()["self"]["address"])


async def refused(host: Host) -> dict[str, float]:
    """What the host has refused until now, as ``what/why``, and the gate's numbers."""
    async with client(host) as http:
        text = (await http.get("/metrics")).text
    counts = {
        f"{what}/{why}": float(count)
        for what, why, count in re.findall(r'mesh_refused_total\{what="(\w+)",why="(\w+)"\} (\S+)', text)
    }
    return counts | {
        f"gate/{event}": float(count)
        for event, count in re.findall(r'mesh_gate_total\{event="(\w+)"\} (\S+)', text)
    }


async def until_refused(host: Host, *reasons: str) -> None:
    counts: dict[str, float] = {}
    with trio.move_on_after(15):
        while True:
            counts = await refused(host)
            if all(counts.get(reason, 0) > 0 for reason in reasons):
                return
            await trio.sleep(0.1)
    raise AssertionError(f"{host.name} did not count {set(reasons) - set(counts)}: {counts}")


def log_of(host: Host) -> str:
    return "".join(path.read_text() for path in host.folder.rglob("mesh.log"))


async def is_untouched(
    hosts: list[Host], before: dict[str, Any], states: frozenset[str] = frozenset({"alive"})
) -> None:
    """The same members, in these states, with the same rights, and the same leader in the same term."""
    expected = {member["name"]: member["rights"] for member in before["members"]}
    for host in hosts:
        status = host.status()
        members = [member for member in status["members"] if member["name"] != "mallory"]
        assert {member["name"]: member["rights"] for member in members} == expected
        assert {member["state"] for member in members} <= states
        assert all(
            member["rights"] == ["work", "ask"] for member in status["members"] if member not in members
        )
        assert status["leader"] == before["leader"]


async def test_nobody_gets_in_without_a_good_invite_and_each_try_is_counted(lab: Lab) -> None:
    anna, bert, eve = lab.hosts(3)
    token = found(anna)
    join(bert, token)
    used = anna.mesh_json("invite")["token"]
    expired = anna.mesh_json("invite", "--expires", "1s")["token"]
    dora = lab.host("dora")
    join(dora, used)  # which takes longer than the other lasts
    before = await status_when(anna, lambda status: len(alive(status)) == 3)
    tries = {
        ("none", token): "no_invite",
        ("altered", token): "wrong_secret",
        ("overheard", token): "wrong_secret",
        ("foreign", token): "foreign_invite",
        ("given", used): "used_invite",
        ("given", expired): "expired_invite",
        ("unsigned", token): "wrong_signature",
    }
    for door in (anna, bert):
        outcome = await attack(eve, "knock", door, tries=list(tries))
        assert all(outcome["errors"]), outcome
    await until_refused(anna, *(f"admission/{why}" for why in tries.values()))
    assert await attack(eve, "cut_in", anna) == {"not_member": 12}
    await until_refused(anna, "stream/not_member", "stream/handshake")
    await is_untouched([anna, bert, dora], before)
    await until_logged(anna, "refused admission: ")
    assert len(re.findall("refused admission", log_of(anna))) <= 4, "a line in ten seconds, not one each"


async def until_logged(host: Host, text: str) -> None:
    with trio.fail_after(15):
        while True:
            if text in log_of(host):
                return
            await trio.sleep(0.2)


async def test_a_session_that_was_captured_opens_nothing_when_it_is_replayed(lab: Lab) -> None:
    anna, bert, eve = lab.hosts(3)
    token = anna.mesh_json("invite")["token"] if found(anna) else ""
    listening = {"target": address(anna), "listen": 4444}
    process = eve.popen(command("replay_session", listening), stdout=subprocess.PIPE, PYTHONPATH=ROOT)
    assert process.stdout is not None
    assert await trio.to_thread.run_sync(process.stdout.readline) == b"listening\n"
    await bert.amesh("join", f"{eve.address}:4444", "--token", token, "--name", "bert", *JOIN)
    before = await status_when(anna, lambda status: len(alive(status)) == 2)
    outcome = json.loads(await trio.to_thread.run_sync(process.stdout.read))
    assert outcome["recorded"] > 500
    await until_refused(anna, "stream/handshake")
    counts = await refused(anna)
    assert counts["stream/handshake"] >= 20
    await is_untouched([anna, bert], before)


async def test_a_member_that_lies_about_everything_changes_nothing(lab: Lab, tmp_path: Path) -> None:
    hosts = lab.hosts(4)
    eve = lab.host("eve")
    form_pool(hosts)
    anna = hosts[0]
    await anna.amesh("serve", make_model(tmp_path), *SERVE, timeout=120)
    for host in hosts:
        await status_when(host, lambda status: len(alive(status)) == 4 and is_ready(status))
    before = anna.status()
    token = anna.mesh_json("invite")["token"]
    lying = {"targets": [address(host) for host in hosts], "token": token, "seconds": 12}
    outcomes: list[dict[str, Any]] = []

    async def lie() -> None:
        result = await eve.arun(command("lie", lying), PYTHONPATH=ROOT, timeout=60)
        outcomes.append(json.loads(result.stdout))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lie)
        while not outcomes:
            # Whoever is accused is suspected, by right: but it refutes, and one accuser kills nobody.
            await is_untouched(hosts, before, frozenset({"alive", "suspect"}))
            assert await chat(hosts[-1], tokens=8)
    assert outcomes[0]["members"] >= 4, "it knew whom to lie about"
    kinds = ("forged_fact", "unauthorised_fact", "accusation", "malformed", "forged")
    for host in hosts:
        await until_refused(host, *(f"datagram_or_fact/{kind}" for kind in kinds))
        await status_when(host, lambda status: alive(status) >= alive(before) and is_ready(status))
    await is_untouched(hosts, before)
    assert await chat(anna)


async def test_of_all_ports_the_meshs_own_alone_is_open_and_noise_does_not_hurt_it(lab: Lab) -> None:
    if not lab.with_namespaces:
        pytest.skip("on 127.x.y.z all hosts share their ports")
    anna, bert, eve = lab.hosts(3)
    form_pool([anna, bert])
    before = await status_when(anna, lambda status: len(alive(status)) == 2)
    for host in (anna, bert):
        assert await attack(eve, "connect_everywhere", host) == {"open": [50052]}
        await until_refused(host, "stream/handshake")
    await is_untouched([anna, bert], before)


async def test_a_thousand_half_open_streams_keep_no_member_and_no_newcomer_out(lab: Lab) -> None:
    anna, bert, cara, eve = lab.hosts(4)
    token = found(anna)
    join(bert, token)
    before = await status_when(anna, lambda status: len(alive(status)) == 2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: attack(eve, "half_open", anna, count=1000, seconds=12))
        await until_refused(anna, "stream/flood")
        await is_untouched([anna, bert], before)
        with trio.fail_after(10):
            await cara.amesh("join", token, "--name", "cara", *JOIN)
    await until_refused(anna, "stream/silence")
    await status_when(anna, lambda status: alive(status) == {"anna", "bert", "cara"})
    assert anna.sidecar() is not None


async def test_hundreds_of_begun_requests_keep_nobody_from_the_api(lab: Lab) -> None:
    if not lab.with_namespaces:
        pytest.skip("on 127.x.y.z every address is this machine's own")
    anna, bert, eve = lab.hosts(3)
    key = anna.folder / "api.key"
    key.write_text("open-sesame-0123456789")
    key.chmod(0o600)
    found(anna, "--listen", anna.address, "--api-key", str(key))
    arguments = {"target": f"{anna.address}:50080", "count": 450, "seconds": 12}
    begun = command("half_open", {**arguments, "begun": "GET /healthz HTTP/1.1\r\nHost: a"})

    async def asks(host: Host, url: str) -> None:
        """Fresh requests are answered at once, one after the other."""
        for _ in range(16):
            async with host.http(url) as http:
                with trio.fail_after(2):
                    assert (await http.get("/healthz")).status_code == 200

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: eve.arun(begun, PYTHONPATH=ROOT, timeout=120))
        await trio.sleep(4)
        await asks(bert, f"http://{anna.address}:50080")
        await asks(anna, "http://127.0.0.1:50080")
    async with client(anna) as http:
        assert (await http.get("/status")).json()["listen"] == f"http://{anna.address}:50080/v1"


async def test_a_gigabyte_is_sent_in_vain(lab: Lab, tmp_path: Path) -> None:
    anna, bert, eve = lab.hosts(3)
    form_pool([anna, bert])
    await anna.amesh("serve", make_model(tmp_path), *SERVE, timeout=120)
    before = await status_when(bert, lambda status: len(alive(status)) == 2 and is_ready(status))
    sidecar = anna.sidecar()
    assert sidecar is not None
    memory = sidecar.memory_info().rss
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: attack(eve, "gigabyte", anna, bytes=1_000_000_000))
        for _ in range(3):
            assert await chat(bert, tokens=8)
            await is_untouched([anna, bert], before)
    await until_refused(anna, "datagram_or_fact/foreign", "stream/handshake")
    assert sidecar.memory_info().rss < memory + (64 << 20)
    await is_untouched([anna, bert], before)
    assert await chat(bert)


async def test_a_leader_that_slept_through_its_successors_election_reaches_no_worker(
    lab: Lab, tmp_path: Path
) -> None:
    hosts = lab.hosts(3)
    form_pool(hosts)
    model = make_model(tmp_path)
    hosts[0].mesh("serve", model, *SERVE, "--copies", "1", timeout=120)
    status = await status_when(hosts[0], is_ready)
    stale = next(host for host in hosts if host.name == leader(status))
    heir, worker = (host for host in hosts if host is not stale)
    heir.mesh("serve", model, *SERVE, "--copies", "1", timeout=120)
    status = await status_when(worker, is_ready)
    lent = next(host for host in (heir, worker) if host.name in holders(status))
    sleeping = stale.kill_sidecar(signal.SIGSTOP)
    await status_when(worker, lambda s: leader(s) == heir.name and is_ready(s))
    before = await refused(lent)
    assert before["gate/cut"] >= 1, "the old leader's streams were cut before the new one's were let in"
    sleeping.send_signal(signal.SIGCONT)
    for _ in range(3):
        assert await chat(worker)
    after = await refused(lent)
    assert after["gate/cut"] == before["gate/cut"], "nothing of the old leader's got in to be cut again"
    await status_when(stale, lambda s: leader(s) == heir.name)
    await status_when(worker, lambda s: leader(s) == heir.name and is_ready(s) and len(alive(s)) == 3)
