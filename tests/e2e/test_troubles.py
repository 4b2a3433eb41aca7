"""Parts of a pipeline that die, and members that may not do everything."""

import signal
from pathlib import Path

import psutil
import pytest
import trio

from tests.e2e.pools import (
    PATIENCE,
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
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("engine")

SERVE = ("--ctx", "512", "--slots", "1", "--wait")


def process(host: Host, name: str) -> psutil.Process:
    running = [one for one in host.processes() if one.status() != psutil.STATUS_ZOMBIE]
    return next(one for one in running if name in one.name())


def slots_folder(host: Host) -> Path:
    (folder,) = Path(host.environment["XDG_STATE_HOME"]).rglob("slots")
    return folder


async def test_a_dead_rpc_server_is_noticed_before_anybody_asks_and_the_pool_serves_again(
    lab: Lab, tmp_path: Path
) -> None:
    hosts = lab.hosts(3)
    form_pool(hosts)
    hosts[0].mesh("serve", make_model(tmp_path), *SERVE, timeout=120)
    status = await status_when(hosts[0], is_ready)
    worker = next(host for host in hosts if host.name in holders(status) and host.name != leader(status))
    process(worker, "rpc-server").kill()
    # The third takes its layers, long before its rpc-server would have been missed by a request.
    await status_when(worker, lambda status: is_ready(status) and worker.name not in holders(status), 15.0)
    assert await chat(worker)


async def test_a_stopped_llama_server_is_given_up_although_nobody_asks(lab: Lab, tmp_path: Path) -> None:
    (anna,) = lab.hosts(1)
    found(anna, "--memory", "400M")
    anna.mesh("serve", make_model(tmp_path, size=8_000_000), *SERVE, timeout=120)
    stopped = process(anna, "llama-server")
    stopped.send_signal(signal.SIGSTOP)
    await status_when(anna, lambda status: not is_ready(status), 30.0)
    await status_when(anna, is_ready)
    assert process(anna, "llama-server").pid != stopped.pid
    assert await chat(anna)


async def test_saved_slots_end_with_what_is_served_and_a_crash_and_take_no_invites_room(
    lab: Lab, tmp_path: Path
) -> None:
    (anna,) = lab.hosts(1)
    anna.own_disk()
    found(anna, "--memory", "400M")
    model = make_model(tmp_path, size=8_000_000)
    anna.mesh("serve", model, *SERVE, timeout=120)
    folder = slots_folder(anna)
    assert await chat(anna)
    async with client(anna) as http:
        saved = [await http.post("/slots/0?action=save", json={"filename": f"slot-{n}"}) for n in range(2)]
    assert [answer.status_code for answer in saved] == [404, 404]
    assert (folder / "files" / "slot-0").stat().st_size == 0
    (folder / "files" / "slot-0").write_bytes(b"as llama-server saves it")
    (folder / "slot-0").write_bytes(b"an older program's")
    anna.kill_sidecar().wait(10)
    anna.mesh("join")
    await status_when(anna, is_ready)
    assert [(file.name, file.stat().st_size) for file in folder.rglob("slot-*")] == [("slot-0", 0)]
    (folder / "files" / "slot-0").write_bytes(bytes(1 << 20))
    anna.fill_disk(of_files=False)
    with trio.fail_after(PATIENCE):
        await until(lambda: (folder / "files" / "slot-0").stat().st_size == 0)
    assert anna.mesh_json("invite")["token"]
    anna.free_disk()
    anna.mesh("stop")
    with trio.fail_after(PATIENCE):
        await until(lambda: not folder.exists())


async def test_a_volunteer_lends_cycles_and_decides_nothing(lab: Lab, tmp_path: Path) -> None:
    anna, vera = lab.hosts(2)
    found(anna)
    join(vera, anna.mesh_json("invite", "--rights", "work")["token"])
    for command in (["serve", make_model(tmp_path, size=4_000_000)], ["invite"]):
        refused = vera.mesh(*command, check=False)
        assert refused.returncode == 1
        assert "no owner" in refused.stderr
    async with client(vera) as http:
        answer = await http.post("/v1/chat/completions", json={"messages": []})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "may_not_ask")
        assert (await http.get("/status")).json()["members"]
    asked = {member["name"]: member["asked"] for member in vera.mesh_json("members")["members"]}
    assert asked == {anna.name: None, vera.name: None}, (
        "its own gateway refused, so no leader has heard of it"
    )


async def test_options_keep_a_machine_from_working_and_from_leading(lab: Lab, tmp_path: Path) -> None:
    anna, idle = lab.hosts(2)
    join(idle, found(anna), "--no-work", "--no-lead", "--memory", "900M")
    status = await status_when(anna, lambda status: len(status["members"]) == 2)
    offered = {member["name"]: member["memory"]["offered"] for member in status["members"]}
    assert offered[idle.name] == 0
    anna.kill_sidecar()
    await status_when(idle, lambda status: status["leader"] is None, 10.0)
    refused = idle.mesh("serve", make_model(tmp_path, size=4_000_000), check=False)
    assert "no machine offers memory" in refused.stderr
