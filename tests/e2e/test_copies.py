"""The model's file is copied to another member by itself, so that the pool outlives whoever brought it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.e2e.pools import chat, form_pool, found, holders, is_ready, join, leader, make_model, until
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = pytest.mark.usefixtures("engine")

SERVE = ("--ctx", "512", "--slots", "1", "--wait")


async def models_until(host: Host, holds: Callable[[dict[str, Any]], bool], seconds: float = 60) -> Any:
    """The first `mesh models --json` entry of the only model for which ``holds``."""
    entry: dict[str, Any] = {}
    with trio.move_on_after(seconds):
        while True:
            models = (await host.amesh_json("models"))["models"]
            entry = models[0] if models else {}
            if entry and holds(entry):
                return entry
            await trio.sleep(0.2)
    raise AssertionError(f"{host.name} waited {seconds:.0f} s in vain: {entry}")


async def test_a_second_copy_appears_and_its_holder_serves_when_the_first_is_killed(
    lab: Lab, tmp_path: Path
) -> None:
    hosts = lab.hosts(3)
    form_pool(hosts)
    hosts[0].mesh("serve", make_model(tmp_path), *SERVE, timeout=120)
    status = await until(hosts[0], is_ready)
    assert leader(status) == hosts[0].name
    answer = await chat(hosts[2])

    entry = await models_until(hosts[2], lambda entry: len(entry["members"]) == 2)
    assert entry["copies_wanted"] == 2
    names = {member["id"]: member["name"] for member in status["members"]}
    (second,) = {names[member] for member in entry["members"]} - {hosts[0].name}
    assert is_ready(hosts[1].status()), "serving goes on while copies are made"

    hosts[0].kill_sidecar()

    other = next(host for host in hosts[1:] if host.name != second)
    status = await until(other, lambda status: leader(status) == second and is_ready(status))
    assert hosts[0].name not in holders(status)
    assert len(await chat(other)) > len(answer) // 2


async def test_a_leader_copies_from_a_holder_that_may_not_lead(lab: Lab, tmp_path: Path) -> None:
    anna, bert, cara = lab.hosts(3)
    token = found(anna, "--no-lead")
    join(bert, token)
    join(cara, token)
    await until(anna, lambda status: leader(status) is not None)
    anna.mesh("serve", make_model(tmp_path), *SERVE, timeout=120)
    status = await until(cara, is_ready)
    assert leader(status) in (bert.name, cara.name)
    assert await chat(anna)
