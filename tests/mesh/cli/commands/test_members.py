from typing import Any

from mesh.wire.errors import MeshError
from tests.mesh.cli import examples
from tests.mesh.cli.conftest import FakeSidecar, Terminal

ASKED = {
    "requests": 9, "in_flight": 1, "queued": 0, "refused": 3, "prompt_tokens": 100, "generated_tokens": 50,
    "bytes_in": 1000, "bytes_out": 2000, "engine_deaths": 2, "suspended_seconds": 40,
}  # fmt: skip


async def test_members_are_listed_with_ids_and_engines(mesh: Terminal, sidecar: FakeSidecar) -> None:
    sidecar.answers["status"] = examples.status()
    heading, *lines = (await mesh("members")).out.splitlines()
    assert heading.split()[:2] == ["NAME", "ID"]
    assert lines[0].split()[:2] == ["alpha", examples.ALPHA]
    assert "0c1e57098 rpc 7.0.0" in lines[0]
    assert len(lines) == 3


async def test_the_devices_of_a_machine_with_several_stand_below_it(
    mesh: Terminal, sidecar: FakeSidecar
) -> None:
    devices = [
        examples.device("CUDA0", "cuda", total=24 << 30, offered=20 << 30),
        examples.device("CPU", "cpu", total=64 << 30, offered=30 << 30),
    ]
    devices[1]["layers"] = [0, 7]
    several = examples.member(examples.ALPHA, "alpha", devices=devices)
    one = examples.member(examples.BETA, "beta", devices=devices[:1])
    sidecar.answers["status"] = examples.status(members=[several, one])
    _, alpha, cuda, processor, *rest = (await mesh("members")).out.splitlines()
    assert "50.0 GiB" in alpha
    assert cuda.split() == ["CUDA0", "cuda", "20.0", "GiB", "24.0", "GiB", "-"]
    assert processor.split() == ["CPU", "cpu", "30.0", "GiB", "64.0", "GiB", "0-7"]
    assert len(rest) == 1
    assert "50.0 GiB" in (await mesh("status")).out


async def test_programs_are_shown_where_they_differ_from_this_machines(
    mesh: Terminal, sidecar: FakeSidecar
) -> None:
    sidecar.answers["status"] = examples.status()
    assert "PROGRAM" not in (await mesh("members")).out
    members = [
        examples.member(examples.ALPHA, "alpha"),
        examples.member(examples.BETA, "beta", build="0.2.0+1a2b3c4d", versions=[3, 4]),
        examples.member(examples.GAMMA, "gamma", build="", versions=[2, 2]),
    ]
    sidecar.answers["status"] = examples.status(members=members, plan=None)
    heading, alpha, beta, gamma = (await mesh("members")).out.splitlines()
    assert heading.endswith("  PROGRAM")
    assert alpha.endswith(" -")
    assert beta.endswith(" 0.2.0+1a2b3c4d")
    assert gamma.endswith(" wire version 2")


async def test_members_of_an_older_sidecar_are_listed_without_programs(
    mesh: Terminal, sidecar: FakeSidecar
) -> None:
    status = examples.status()
    for member in status["members"]:
        del member["versions"], member["build"]
    sidecar.answers["status"] = status
    outcome = await mesh("members")
    assert (outcome.code, "PROGRAM" in outcome.out) == (0, False)


async def test_json_has_the_same_members_as_status_and_what_they_asked(
    mesh: Terminal, sidecar: FakeSidecar
) -> None:
    sidecar.answers["status"] = examples.status()
    nothing: list[dict[str, Any] | Exception] = [{"asked": None}, {"asked": {}}, MeshError("unknown")]
    for answer in nothing:
        sidecar.answers["usage"] = answer
        members = (await mesh("members", "--json")).json()["members"]
        assert members == [{**member, "asked": None} for member in examples.status()["members"]]
    sidecar.answers["usage"] = {"asked": {examples.BETA: ASKED}}
    members = (await mesh("members", "--json")).json()["members"]
    assert [member["asked"] for member in members] == [None, ASKED, None]


async def test_who_asks_and_tells_nobody_of_itself_is_listed_by_its_id(
    mesh: Terminal, sidecar: FakeSidecar
) -> None:
    unseen = "q" * 26
    sidecar.answers["status"] = examples.status()
    sidecar.answers["usage"] = {"asked": {examples.BETA: ASKED, unseen: ASKED}}
    *members, last = (await mesh("members", "--json")).json()["members"]
    assert [member["id"] for member in members] == [examples.ALPHA, examples.BETA, examples.GAMMA]
    assert last.keys() == members[0].keys()
    assert (last["id"], last["name"], last["state"], last["asked"]) == (unseen, "", "unseen", ASKED)
    line = (await mesh("members")).out.splitlines()[-1]
    assert line.split()[:4] == ["-", unseen, "-", "unseen"]
    assert "100+50" in line


async def test_who_is_left_out_of_plans_is_told_below_the_members(
    mesh: Terminal, sidecar: FakeSidecar
) -> None:
    failed = {"seconds": 60, "reason": "it aborted"}
    sidecar.answers["status"] = examples.status(members=[examples.member(examples.BETA, "beta")])
    assert "left out" not in (await mesh("members")).out
    member = examples.member(examples.BETA, "beta", quarantine=failed)
    sidecar.answers["status"] = examples.status(members=[member])
    assert "beta, for 60 s more: it aborted" in (await mesh("members")).out


async def test_members_that_left_are_shown_when_asked_for_and_when_they_are_back(
    mesh: Terminal, sidecar: FakeSidecar
) -> None:
    gone = [examples.member(letter * 26, "mallory", state="left") for letter in "defg"]
    members = [*examples.status()["members"], *gone]
    sidecar.answers["status"] = examples.status(members=members)
    shown = (await mesh("members")).out
    assert "mallory" not in shown
    assert "gamma" in shown, "one that died is missed"
    assert shown.endswith("\n\n4 members left; shown with --all\n")
    for command in ("members", "--all"), ("members", "--json"), ("members", "--all", "--json"):
        assert (await mesh(*command)).out.count("mallory") == 4
    text = (await mesh("status")).out
    assert text.startswith("pool attic: 2 machines alive, 1 not\n")
    assert "mallory" not in text
    assert len((await mesh("status", "--json")).json()["members"]) == 7
    gone[0]["state"] = "alive"
    assert (await mesh("members")).out.count("mallory") == 1
    assert (await mesh("status")).out.startswith("pool attic: 3 machines alive, 1 not\n")


async def test_a_machine_that_left_still_shows_itself(mesh: Terminal, sidecar: FakeSidecar) -> None:
    sidecar.answers["status"] = examples.status(members=[examples.member(examples.ALPHA, "me", state="left")])
    assert "me" in (await mesh("members")).out


async def test_what_members_asked_is_shown_once_something_was_counted(
    mesh: Terminal, sidecar: FakeSidecar
) -> None:
    sidecar.answers["status"] = examples.status()
    sidecar.answers["usage"] = {"asked": {}}
    assert "REQUESTS" not in (await mesh("members")).out
    sidecar.answers["usage"] = {"asked": {examples.BETA: ASKED}}
    heading, alpha, beta, _ = (await mesh("members")).out.splitlines()
    assert heading.split()[-3:] == ["REQUESTS", "TOKENS", "TROUBLE"]
    assert alpha.split()[-2:] == ["-", "-"]
    assert beta.endswith("3 refused, 2 engine deaths, 40 s suspended")
    assert beta.split()[-10:-8] == ["9", "100+50"]
