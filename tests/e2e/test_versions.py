"""Pools of machines with different versions of the program, while they are upgraded one by one and back.

The other version is made of this checkout (`tests.lab.programs`). What is served needs both big machines, so
the answer that streams meanwhile stands still while one of them is restarted.
"""

import re
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from mesh.tools.generator import ModelSpec, generate, spec_of_size
from tests.e2e.failing import BIG, CHAT, LAYERS, MODEL_BYTES, SERVE, TOKENS, Five, answer
from tests.e2e.pools import alive, found, is_ready, join, status_when
from tests.lab import programs
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = pytest.mark.usefixtures("engine")

OLDER_FORM, NEWER_FORM = 3, 4
END_SECONDS, FORM_SECONDS = 30.0, 20.0
STRIKES = (100, 250)
"""After how many tokens the one and the other machine is restarted."""
HERE, THERE = "2 and 3", "5 and 6"
"""What this version speaks, and one that is too far from it."""
ORDERS = ("the worker first", "the leader first")


@pytest.fixture(scope="module")
def next_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return programs.make(tmp_path_factory.mktemp("next") / "program", programs.NEXT)


@pytest.fixture(scope="module")
def too_far(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return programs.make(tmp_path_factory.mktemp("far") / "program", programs.TOO_FAR)


@pytest.fixture
async def pool(lab: Lab, tmp_path: Path) -> Five:
    """Two big hosts with the model, which fits on both together alone, and one that is asked."""
    hosts = lab.hosts(3)
    model = tmp_path / "frankenstein.gguf"
    generate(model, spec_of_size(MODEL_BYTES, ModelSpec(layers=LAYERS)))
    token = found(hosts[0], "--memory", BIG)
    join(hosts[1], token, "--memory", BIG)
    join(hosts[2], token, "--no-work")
    for host in hosts[:2]:
        host.mesh("serve", model, *SERVE, "--wait", timeout=120)
    return Five(hosts, model, token, lab.host())


@pytest.fixture(scope="module")
def undisturbed() -> list[str]:
    """The answer that nothing happens to, once it was asked for."""
    return []


@pytest.fixture
async def wanted(pool: Five, undisturbed: list[str]) -> str:
    if not undisturbed:
        whole = await answer(pool, CHAT, "exact")
        assert (whole.tokens, whole.pauses) == (TOKENS, [])
        undisturbed.append(whole.text)
    return undisturbed[0]


async def run_program(host: Host, program: Path | None) -> None:
    """As an upgrade does: the sidecar ends in order, and the other program goes on from its state."""
    if await trio.to_thread.run_sync(host.sidecar) is not None:
        ended = host.kill_sidecar(signal.SIGTERM)
        await trio.to_thread.run_sync(ended.wait, END_SECONDS)
    host.install(program)
    await host.amesh("join")


async def restart_after_upgrade(host: Host, program: Path) -> None:
    """The same by `mesh restart`, as status says while the other program is installed and does not run."""
    before = (await host.amesh("--version")).stdout
    assert "other_build" not in codes(await host.amesh_json("status"))
    host.install(program)
    assert (await host.amesh("--version")).stdout != before
    status = await host.amesh_json("status")
    assert {"other_build", "older_program"} <= codes(status)
    assert all("mesh restart" in problem["hint"] for problem in status["problems"])
    await host.amesh("restart")
    assert codes(await host.amesh_json("status")) == set()


def running(host: Host, program: Path | None) -> Callable[[], Awaitable[None]]:
    async def do() -> None:
        await run_program(host, program)

    return do


def codes(status: dict[str, Any]) -> set[str]:
    """The problems that a host's status names."""
    return {problem["code"] for problem in status["problems"]}


def forms(status: dict[str, Any]) -> dict[str, int]:
    """In which form each member's record is, as a host of the next version says."""
    return {member["name"]: member["form"] for member in status["members"]}


@pytest.mark.parametrize("order", ORDERS)
async def test_machines_are_upgraded_one_by_one_under_an_answer_and_one_goes_back(
    pool: Five, wanted: str, next_program: Path, order: str
) -> None:
    leading, working = pool.leading(), pool.working()
    first, second = (working, leading) if order == ORDERS[0] else (leading, working)
    both = dict(zip(STRIKES, (running(host, next_program) for host in (first, second)), strict=True))

    got = await answer(pool, CHAT, "exact", both)

    assert len(got.pauses) >= 2, "both restarts were felt"
    assert got.text == wanted
    status = await status_when(first, lambda status: len(alive(status)) == 3)
    assert set(forms(status).values()) == {OLDER_FORM}, "one of the older version is there still"
    await first.amesh("serve", pool.model, *SERVE, "--copies", "2", "--wait", timeout=60)
    await pool.settle()

    await restart_after_upgrade(pool.asked, next_program)
    status = await status_when(pool.asked, is_ready)
    assert status["deployment"]["season"] == programs.SEASON
    everybody = {host.name: NEWER_FORM for host in pool.hosts}
    for host in pool.hosts:
        status = await status_when(host, lambda status: forms(status) == everybody, FORM_SECONDS)
        assert {member["weather"] for member in status["members"]} == {programs.WEATHER}
    await pool.settle()

    await run_program(pool.asked, None)
    await pool.settle()
    status = await status_when(first, lambda status: set(forms(status).values()) == {OLDER_FORM})
    assert {m["name"] for m in status["members"] if not m["weather"]} == {pool.asked.name}
    assert wanted.startswith((await answer(pool, CHAT, "exact", tokens=20)).text)


async def test_a_machine_without_a_common_version_is_refused_at_once_and_told_both(
    lab: Lab, too_far: Path
) -> None:
    anna, bert, cara = lab.hosts(3)
    token = found(anna)
    bert.install(too_far)
    # An invite whose pool cannot be found is given up after 20 s.
    refused = bert.mesh("join", token, check=False, timeout=15)
    assert refused.returncode == 1
    assert re.search(rf"speaks wire version {HERE} \(mesh \S+\), this machine {THERE}\n", refused.stderr)
    assert "hint: upgrade that one, then there: mesh restart" in refused.stderr
    assert alive(anna.status()) == {"anna"}

    theirs = found(bert)
    refused = cara.mesh("join", theirs, check=False, timeout=15)
    assert refused.returncode == 1
    assert re.search(rf"speaks wire version {THERE} \(mesh \S+\), this machine {HERE}\n", refused.stderr)
    assert "hint: upgrade this machine, then: mesh join" in refused.stderr


async def test_a_member_upgraded_too_far_is_named_on_both_sides_until_it_is_put_right(
    lab: Lab, too_far: Path
) -> None:
    anna, bert = lab.hosts(2)
    join(bert, found(anna))
    bert.install(too_far)
    refused = bert.mesh("restart", check=False)
    assert refused.returncode == 1
    assert f"this machine {THERE}" in refused.stderr
    assert "upgrade that one, then there: mesh restart" in refused.stderr

    bert_is_apart = f"bert speaks wire version {THERE}, this machine {HERE}"
    await says_what_is_apart(anna, bert_is_apart, "upgrade this machine, then: mesh restart")
    anna_is_apart = f"anna speaks wire version {HERE}, this machine {THERE}"
    await says_what_is_apart(bert, anna_is_apart, "upgrade anna, then there: mesh restart")

    refused = anna.mesh("restart", check=False)
    assert f"this machine {HERE}" in refused.stderr
    await says_what_is_apart(anna, bert_is_apart, "upgrade this machine, then: mesh restart")

    bert.install(None)
    bert.mesh("restart")
    for host in (anna, bert):
        await status_when(host, lambda status: len(alive(status)) == 2 and not codes(status), 10.0)


async def says_what_is_apart(host: Host, message: str, hint: str) -> None:
    """Status and doctor of the host name the member, both versions and what to do."""
    status = await status_when(host, lambda status: "wire_version" in codes(status), 10.0)
    [problem] = status["problems"]
    assert (problem["message"], problem["hint"]) == (message, hint)
    assert f"problem  {message}; {hint}" in host.mesh("status").stdout
    doctor = host.mesh("doctor", check=False)
    assert doctor.returncode == 1
    assert re.search(rf"FAIL  version +{re.escape(message)}\n +hint: {re.escape(hint)}\n", doctor.stdout)
