"""Machines that lend several devices each: the parts of a divided processor, which need no GPU."""

from pathlib import Path
from typing import Any

import pytest

from mesh.engine.types import Engine
from tests.e2e.pools import (
    complete,
    found,
    is_ready,
    join,
    make_model,
    status_when,
)
from tests.e2e.same_split import bare_answer
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = pytest.mark.usefixtures("engine")

SERVE = ("--ctx", "512", "--slots", "1", "--wait")
HALVES = ("--memory", "cpu:0=60M,cpu:1=60M")
PROMPT = "Once upon a time"


def form_pool_of_halves(hosts: list[Host], *options: str) -> None:
    """All hosts in one pool, each with a processor in two parts."""
    token = found(hosts[0], *HALVES, *options)
    for host in hosts[1:]:
        join(host, token, *HALVES, *options)


def placed(status: dict[str, Any]) -> list[tuple[str, str, int]]:
    """Name of the member, device, number of layers, in the pipeline's order."""
    names = {member["id"]: member["name"] for member in status["members"]}
    return [
        (names[stage["member"]], stage["device"], stage["layers"][1] - stage["layers"][0] + 1)
        for stage in status["plan"]["stages"]
    ]


async def devices_are_known(host: Host, names: set[str]) -> None:
    """Wait until the host knows these devices, each as ``member/device``, and that their engines are ready.

    Before that, `mesh serve` would place the model without them.
    """
    await status_when(host, lambda status: names <= _known(status))


def _known(status: dict[str, Any]) -> set[str]:
    return {
        f"{member['name']}/{device['name']}"
        for member in status.get("members", [])
        if member["llama_cpp"]
        for device in member["devices"]
    }


def rpc_servers(host: Host) -> list[list[str]]:
    """The command lines of the rpc-servers that run on a host."""
    found = [process.cmdline() for process in host.processes()]
    return [words for words in found if words and words[0].endswith("ggml-rpc-server")]


async def test_two_machines_of_two_devices_each_answer_like_the_bare_engine(
    lab: Lab, engine: Engine, tmp_path: Path
) -> None:
    desk, anna, bert = lab.host("desk"), lab.host("anna"), lab.host("bert")
    token = found(desk, "--no-work")
    join(anna, token, *HALVES, "--no-lead")
    join(bert, token, *HALVES, "--no-lead")
    model = make_model(tmp_path)
    split = {"anna/cpu:0": 5, "anna/cpu:1": 7, "bert/cpu:0": 4, "bert/cpu:1": 8}
    await devices_are_known(desk, set(split))
    layers = ",".join(f"{device}={count}" for device, count in split.items())
    desk.mesh("serve", model, *SERVE, "--layers", layers, timeout=120)
    status = await status_when(bert, is_ready)

    assert {f"{name}/{device}": count for name, device, count in placed(status)} == split
    for member in status["members"]:
        names = [device["name"] for device in member["devices"]]
        assert names == ([] if member["name"] == "desk" else ["cpu:0", "cpu:1"])
    running = [words[words.index("-d") + 1] for words in rpc_servers(bert)]
    assert running == ["CPU", "CPU"], "a process for each device"

    answers = [await complete(host, PROMPT, 48) for host in (desk, bert)]
    assert answers[0] == answers[1] == await bare_answer(engine, model, tmp_path, status, PROMPT, 48)


async def test_a_leader_and_a_worker_with_divided_processors_answer_like_the_bare_engine(
    lab: Lab, engine: Engine, tmp_path: Path
) -> None:
    """The leader's own processor is one device, however it is divided."""
    anna, bert = hosts = lab.hosts(2)
    form_pool_of_halves(hosts)
    model = make_model(tmp_path)
    await devices_are_known(anna, {f"{host.name}/cpu:{part}" for host in hosts for part in (0, 1)})
    anna.mesh("serve", model, *SERVE, "--layers", "anna=11,bert=13", timeout=120)
    status = await status_when(bert, is_ready)
    assert [name for name, _, _ in placed(status)] in (["anna", "bert"], ["anna", "bert", "bert"])
    answer = await complete(bert, PROMPT, 48)
    assert answer == await bare_answer(engine, model, tmp_path, status, PROMPT, 48)


async def test_a_machine_offers_no_more_than_it_has(lab: Lab) -> None:
    (anna,) = lab.hosts(1)
    refused = anna.mesh("join", "--found", "--memory", "cpu:0=90000G,cpu:1=2G", check=False)
    assert refused.returncode == 2
    assert "cpu:0, cpu:1 share that: give them less" in refused.stderr
    assert anna.sidecar() is None
