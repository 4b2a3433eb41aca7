"""Three machines, one command each, and a real model answers through the pipeline."""

import json
from pathlib import Path

import psutil
import pytest

from mesh.engine.types import Engine
from tests.e2e.pools import (
    alive,
    chat,
    client,
    complete,
    form_pool,
    found,
    greedy,
    holders,
    is_ready,
    join,
    leader,
    make_model,
    status_when,
    stream_chat,
)
from tests.e2e.same_split import bare_answer
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = pytest.mark.usefixtures("engine")

SERVE = ("--ctx", "512", "--slots", "1", "--wait")


async def test_three_hosts_with_a_token_and_no_address_see_each_other_within_two_seconds(lab: Lab) -> None:
    anna, bert, cara = lab.hosts(3)
    token = found(anna)
    join(bert, token)
    join(cara, token)
    for host in (anna, bert, cara):
        status = await status_when(host, lambda status: len(alive(status)) == 3, seconds=2.0)
        assert leader(status) in {"anna", "bert", "cara"}


async def test_every_gateway_answers_like_one_bare_llama_server_with_the_same_split(
    lab: Lab, engine: Engine, tmp_path: Path
) -> None:
    hosts = lab.hosts(3)
    form_pool(hosts)
    model = make_model(tmp_path)
    hosts[0].mesh("serve", model, *SERVE, timeout=120)
    status = await status_when(hosts[0], is_ready)
    assert len(holders(status)) >= 2, "the model is split"

    prompt = "Once upon a time"
    answers = [await complete(host, prompt, 48) for host in hosts]
    talks = [await chat(host) for host in hosts]
    streams = [await stream_chat(host) for host in hosts]

    assert len(answers[0]) == 48
    assert answers == [answers[0]] * 3
    assert answers[0] == await bare_answer(engine, model, tmp_path, status, prompt, 48)
    assert talks == [talks[0]] * 3
    assert ["".join(pieces) for pieces in streams] == talks
    assert all(len(pieces) > 10 for pieces in streams), "the answers came in pieces"


async def test_a_worker_that_leaves_frees_its_memory_and_the_pool_serves_on(lab: Lab, tmp_path: Path) -> None:
    hosts = lab.hosts(4)
    form_pool(hosts)
    hosts[0].mesh("serve", make_model(tmp_path), *SERVE, timeout=120)
    status = await status_when(hosts[0], is_ready)
    leaving = next(host for host in hosts if host.name in holders(status) and host.name != leader(status))
    await leaving.amesh("leave")
    assert engine_processes(leaving) == []
    staying = next(host for host in hosts if host is not leaving)
    status = await status_when(staying, lambda s: is_ready(s) and leaving.name not in holders(s))
    states = {member["name"]: member["state"] for member in status["members"]}
    assert states[leaving.name] == "left"
    assert await chat(staying)


def engine_processes(host: Host) -> list[str]:
    names = [process.name() for process in host.processes() if process.status() != psutil.STATUS_ZOMBIE]
    return [name for name in names if "llama" in name or "rpc" in name]


async def test_when_the_leader_is_killed_another_that_holds_the_file_leads_and_serves(
    lab: Lab, tmp_path: Path
) -> None:
    hosts = lab.hosts(3)
    form_pool(hosts)
    model = make_model(tmp_path)
    hosts[0].mesh("serve", model, *SERVE, "--copies", "1", timeout=120)
    status = await status_when(hosts[0], is_ready)
    leading = next(host for host in hosts if host.name == leader(status))
    second, other = (host for host in hosts if host is not leading)
    # The second host is given the file as well; what runs is not disturbed by that.
    second.mesh("serve", model, *SERVE, "--copies", "1", timeout=120)
    term = status["leader"]["term"]
    before = await chat(other)

    leading.kill_sidecar()

    status = await status_when(other, lambda s: leader(s) == second.name and is_ready(s))
    assert status["leader"]["term"] > term
    assert leading.name not in holders(status)
    assert len(await chat(other)) > len(before) // 2


async def test_a_host_that_holds_the_file_is_handed_the_leadership(lab: Lab, tmp_path: Path) -> None:
    hosts = lab.hosts(3)
    form_pool(hosts)
    status = await status_when(hosts[0], lambda s: leader(s) is not None)
    holder = next(host for host in hosts if host.name != leader(status))
    holder.mesh("serve", make_model(tmp_path), *SERVE, timeout=120)
    status = await status_when(hosts[0], is_ready)
    assert leader(status) == holder.name
    assert await chat(hosts[0])


async def test_a_model_that_fits_on_the_leader_alone_runs_there(lab: Lab, tmp_path: Path) -> None:
    hosts = lab.hosts(2)
    token = found(hosts[0], "--memory", "400M")
    join(hosts[1], token)
    hosts[0].mesh("serve", make_model(tmp_path, size=40_000_000), *SERVE, timeout=120)
    status = await status_when(hosts[1], is_ready)
    assert list(holders(status)) == [hosts[0].name]
    assert await chat(hosts[1])


async def test_a_client_that_hangs_up_frees_the_leaders_slot_within_a_second(
    lab: Lab, tmp_path: Path
) -> None:
    hosts = lab.hosts(2)
    token = found(hosts[0], "--memory", "1G")
    join(hosts[1], token)
    hosts[0].mesh("serve", make_model(tmp_path, size=40_000_000), "--ctx", "32768", "--wait", timeout=120)
    status = await status_when(hosts[1], is_ready)
    host, port = status["api"].removesuffix("/v1").removeprefix("http://").split(":")
    body = json.dumps(greedy("Once", 30_000) | {"stream": True}).encode()
    head = f"POST /completion HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(body)}\r\n\r\n"
    stream = await hosts[1].connect(host, int(port))
    async with stream:
        await stream.send_all(head.encode() + body)
        answer = b""
        while b"data: {" not in answer:
            answer += await stream.receive_some()
    # The slot is free for the next request, which would have to wait for minutes otherwise.
    async with client(hosts[1]) as http:
        response = await http.post("/completion", json=greedy("Twice", 1), timeout=2.0)
        assert response.status_code == 200
