"""The model's file is copied to another member by itself, so that the pool outlives whoever brought it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from mesh.tools.generator import ModelSpec, generate, spec_of_size
from tests.e2e.pools import (
    chat,
    complete,
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
    status = await status_when(hosts[0], is_ready)
    assert leader(status) == hosts[0].name
    answer = await chat(hosts[2])

    entry = await models_until(hosts[2], lambda entry: len(entry["members"]) == 2)
    assert entry["copies_wanted"] == 2
    names = {member["id"]: member["name"] for member in status["members"]}
    (second,) = {names[member] for member in entry["members"]} - {hosts[0].name}
    assert is_ready(hosts[1].status()), "serving goes on while copies are made"

    hosts[0].kill_sidecar()

    other = next(host for host in hosts[1:] if host.name != second)
    status = await status_when(other, lambda status: leader(status) == second and is_ready(status))
    assert hosts[0].name not in holders(status)
    assert len(await chat(other)) > len(answer) // 2


async def test_a_model_of_several_files_is_copied_by_name_and_the_copy_answers_alike(
    lab: Lab, tmp_path: Path
) -> None:
    anna, bert = lab.hosts(2)
    join(bert, found(anna, "--memory", "400M"), "--memory", "400M")
    files = generate(tmp_path / "toy.gguf", spec_of_size(40_000_000, ModelSpec(layers=8)), parts=3)
    anna.mesh("serve", files[0], *SERVE, timeout=120)
    await status_when(bert, is_ready)
    answer = await complete(bert, "Once upon a time", 48)
    await models_until(bert, lambda entry: len(entry["members"]) == 2)
    copied = {path.name: path.read_bytes() for path in bert.folder.rglob("copies/*/*.gguf")}
    assert copied == {path.name: path.read_bytes() for path in files}

    anna.kill_sidecar()

    await status_when(bert, lambda status: leader(status) == bert.name and is_ready(status))
    assert await complete(bert, "Once upon a time", 48) == answer


async def test_a_leader_copies_from_a_holder_that_may_not_lead(lab: Lab, tmp_path: Path) -> None:
    anna, bert, cara = lab.hosts(3)
    token = found(anna, "--no-lead")
    join(bert, token)
    join(cara, token)
    await status_when(anna, lambda status: leader(status) is not None)
    anna.mesh("serve", make_model(tmp_path), *SERVE, timeout=120)
    status = await status_when(cara, is_ready)
    assert leader(status) in (bert.name, cara.name)
    assert await chat(anna)


async def test_a_copy_over_narrow_links_kills_no_member_and_survives_kill_9_of_either_end(
    lab: Lab, tmp_path: Path
) -> None:
    """66 MB at 40 Mbit/s: the cables are full for all that time, and gossip shares them."""
    hosts = lab.hosts(3)
    anna, cara = hosts[0], hosts[2]
    form_pool(hosts)
    model = make_model(tmp_path)
    anna.mesh("serve", model, *SERVE, "--copies", "1", timeout=120)
    await status_when(anna, is_ready)
    for host in hosts:
        host.narrow(40)
    anna.mesh("serve", model, "--copies", "2", "--ctx", "512", "--slots", "1")
    killed: set[str] = set()
    dead: set[str] = set()

    async def watch() -> None:
        while True:
            status = await cara.amesh_json("status", check=False)
            members = status.get("members", [])
            dead.update(m["name"] for m in members if m["state"] == "dead" and m["name"] not in killed)
            await trio.sleep(0.2)

    def begun(entry: dict[str, Any]) -> bool:
        return any(0.2 <= copy["progress"] < 0.9 for copy in entry.get("copies", []))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        entry = await models_until(cara, begun)
        names = {member["id"]: member["name"] for member in cara.status()["members"]}
        (copy,) = entry["copies"]
        copier = next(host for host in hosts if host.name == names[copy["member"]])
        killed.add(copier.name)
        copier.kill_sidecar()
        copier.mesh("join")
        nursery.cancel_scope.cancel()
    assert dead == set(), "a full cable is no death"

    def kept(entry: dict[str, Any]) -> bool:
        """Another may have been asked to copy meanwhile; what was verified before the crash stays."""
        mine = [one for one in entry.get("copies", []) if one["member"] == copy["member"]]
        return copy["member"] in entry["members"] or any(
            one["progress"] >= copy["progress"] and one["state"] in ("copying", "idle") for one in mine
        )

    await models_until(anna, kept)

    anna.kill_sidecar()
    anna.mesh("join")
    entry = await models_until(anna, lambda entry: len(entry["members"]) == 2, seconds=100)
    await status_when(anna, is_ready)
    assert anna.name in {names[member] for member in entry["members"]}
    assert await chat(cara)
