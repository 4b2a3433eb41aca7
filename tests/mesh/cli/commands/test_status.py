import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import cast

import trio

from mesh.cli.commands.status import describe, held, layers, plan_line, redrawn
from mesh.control.operations import MemberStatus, PlanStatus
from tests.mesh.cli import examples
from tests.mesh.cli.conftest import FakeSidecar, Terminal
from tests.mesh.cli.status_shape import STATUS, problems


async def test_json_is_what_the_sidecar_says(mesh: Terminal, sidecar: FakeSidecar) -> None:
    sidecar.answers["status"] = examples.status()
    outcome = await mesh("status", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.json() == examples.status() | {"installed": examples.status()["running"]}
    assert problems(outcome.json()) == []


async def test_an_older_sidecars_status_is_shown_with_a_note_and_has_the_shape_of_problems(
    mesh: Terminal, sidecar: FakeSidecar
) -> None:
    old = examples.status(version="0.0.9")
    for key in ("running", "problems", "deployments", "pool_engine"):
        del old[key]
    del old["deployment"]["context"], old["deployment"]["slots"]
    sidecar.answers["status"] = old
    text = (await mesh("status")).out
    assert "note   the installed program" in text
    assert "(0.0.9); run it: mesh restart\n" in text
    assert problems((await mesh("status", "--json")).json()["problems"], STATUS["problems"]) == []


def test_members_that_cannot_be_spoken_with_are_problems_and_older_ones_notes() -> None:
    found = [
        {"code": "wire_version", "member": examples.GAMMA, "message": "gamma is new", "hint": "upgrade here"},
        {"code": "older_member", "member": examples.BETA, "message": "beta is old", "hint": "upgrade beta"},
    ]
    text = describe(examples.status(problems=found))  # type: ignore[arg-type]
    assert text.endswith("\nproblem  gamma is new; upgrade here\nnote     beta is old; upgrade beta")


async def test_people_see_one_line_for_each_member(mesh: Terminal, sidecar: FakeSidecar) -> None:
    sidecar.answers["status"] = examples.status()
    assert (
        (await mesh("status")).out
        == """\
pool attic: 2 machines alive, 1 not

   NAME   ADDRESS         STATE  ACCELERATOR    OFFERS     RTT  LAYERS
   alpha  10.0.0.1:50052  alive  cpu Xeon     60.0 MiB    here  0-7
*  beta   10.0.0.2:50052  alive  cpu Xeon     60.0 MiB  1.2 ms  8-15 + head
   gamma  10.0.0.3:50052  dead   cpu Xeon     60.0 MiB  1.2 ms  -

model  tiny.gguf  ready  4096 tokens of context, 1 slot
plan   alpha 0-7 -> beta 8-15 + head  (12.5 tokens/s predicted)
api    http://127.0.0.1:50080/v1
"""
    )


def test_a_pool_at_its_beginning_says_what_comes_next() -> None:
    engine = {"state": "building", "progress": 0.5, "reason": "compiling"}
    text = describe(
        examples.status(leader=None, deployment=None, plan=None, engine=engine)  # type: ignore[arg-type]
    )
    assert "no leader at present" in text
    assert "none; serve one with: mesh serve MODEL" in text
    assert "building  [############............]  50 %  compiling" in text


def test_loading_shows_its_progress_and_trouble_its_reason() -> None:
    deployment = {"model": "m", "sha256": "", "state": "loading", "progress": 0.25, "reason": ""}
    text = describe(examples.status(deployment=deployment))  # type: ignore[arg-type]
    assert "m  loading  [######..................]  25 %" in text
    deployment |= {"reason": "612 MiB of 1.2 GiB, 14 s left", "context": 512, "slots": 4}
    text = describe(examples.status(deployment=deployment))  # type: ignore[arg-type]
    assert "m  loading  512 tokens of context, 4 slots  [######.." in text
    assert "25 %  612 MiB of 1.2 GiB, 14 s left" in text
    deployment |= {"kv": "q8_0", "embeddings": False, "projector": "mmproj.gguf"}
    text = describe(examples.status(deployment=deployment))  # type: ignore[arg-type]
    assert "4 slots, kept as q8_0, reads pictures by mmproj.gguf" in text.replace("\n", " ")
    deployment |= {"kv": "f16", "embeddings": True, "state": "failed", "reason": "1.2 GiB are missing"}
    assert "gives embeddings" in describe(examples.status(deployment=deployment))  # type: ignore[arg-type]
    text = describe(examples.status(deployment=deployment))  # type: ignore[arg-type]
    assert "m  failed  512 tokens of context" in text
    assert "gives embeddings, reads pictures by mmproj.gguf  1.2 GiB are missing" in text.replace("\n", " ")


def test_json_and_watch_contradict_each_other(mesh: Terminal) -> None:
    assert mesh.run("status", "--json", "--watch").code == 2
    assert mesh.run("status", "--json", "-w").code == 2


async def test_watching_ends_well_with_ctrl_c(sidecar: FakeSidecar, state_dir: Path) -> None:
    sidecar.answers["status"] = examples.status()

    def watch() -> int:
        command = [sys.executable, "-m", "mesh.cli", "--state-dir", str(state_dir), "status", "--watch"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert select.select([process.stdout], [], [], 30)[0]
            os.kill(process.pid, signal.SIGINT)
            process.stdout.read()
            return process.wait(30)

    assert await trio.to_thread.run_sync(watch) == 0


def test_a_machine_with_the_head_alone_is_said_to_hold_no_layers() -> None:
    stages = [
        {"member": examples.BETA, "layers": [1, 0], "head": True, "bytes": 1, "milliseconds": 1.0},
        {"member": examples.ALPHA, "layers": [0, 15], "head": False, "bytes": 1, "milliseconds": 1.0},
    ]
    members = [
        examples.member(examples.ALPHA, "alpha", layers=[0, 15]),
        examples.member(examples.BETA, "beta"),
    ]
    plan = {"term": 3, "predicted_tokens_per_second": 12.5, "stages": stages}
    text = describe(examples.status(members=members, plan=plan))  # type: ignore[arg-type]
    assert "plan   beta head -> alpha 0-15  (12.5 tokens/s predicted)" in text
    assert "1.2 ms  head\n" in text


def test_layers_are_shown_as_spans_and_none_as_a_dash() -> None:
    assert [layers(span) for span in (None, [1, 0], [3, 3], [0, 7])] == ["-", "-", "3", "0-7"]
    assert [layers(span, head=True) for span in (None, [3, 3])] == ["head", "3 + head"]


def test_a_watched_status_takes_the_rows_that_it_is_counted_for() -> None:
    assert redrawn(["one", "two"], 0) == "\x1b[?7lone\x1b[K\ntwo\x1b[K\n\x1b[J\x1b[?7h"
    assert redrawn(["one"], 2).startswith("\x1b[?7l\x1b[2A\rone"), "lines are cut off, then drawn over"


async def test_the_line_that_others_use_is_shown_where_the_api_is_open_to_them(
    mesh: Terminal, sidecar: FakeSidecar
) -> None:
    sidecar.answers["status"] = examples.status()
    assert "others" not in (await mesh("status")).out
    sidecar.answers["status"] = examples.status(listen="http://10.0.0.1:50080/v1")
    text = (await mesh("status")).out
    assert 'others  curl http://10.0.0.1:50080/v1/models -H "Authorization: Bearer $(cat FILE)"\n' in text
    assert (await mesh("status", "--json")).json()["listen"] == "http://10.0.0.1:50080/v1"


def test_what_a_machine_of_several_devices_holds_is_told_by_device() -> None:
    devices = [examples.device(name, "cuda", 8 << 30, 4 << 30) for name in ("CUDA0", "CUDA1", "CPU")]
    beta = examples.member(examples.BETA, "beta", layers=[0, 15], devices=devices)
    alpha = examples.member(examples.ALPHA, "alpha", layers=[8, 11])
    stages = [
        examples.stage(examples.BETA, [0, 3], False, 1, "CPU"),
        examples.stage(examples.BETA, [4, 7], False, 1, "CUDA0"),
        examples.stage(examples.ALPHA, [8, 11], False, 1, "CPU"),
        examples.stage(examples.BETA, [12, 15], True, 1, "CUDA1"),
    ]
    plan = cast(PlanStatus, {"term": 3, "predicted_tokens_per_second": 2.0, "stages": stages})
    members = cast(list[MemberStatus], [alpha, beta])
    assert plan_line(plan, members).startswith(
        "beta/CPU 0-3 -> beta/CUDA0 4-7 -> alpha 8-11 -> beta/CUDA1 12-15 + head  ("
    )
    assert [held(member, plan) for member in members] == ["8-11", "0-7, 12-15 + head"]
    assert [held(member, None) for member in members] == ["8-11", "0-15"]
    assert held(cast(MemberStatus, examples.member(examples.GAMMA, "gamma")), plan) == "-"


def test_a_device_that_plans_leave_out_is_shown_by_its_name() -> None:
    failed = {"seconds": 60, "reason": "no memory was there"}
    device = {**examples.device("CUDA0", "cuda", 8, 8), "quarantine": failed}
    members = [examples.member(examples.BETA, "beta", devices=[device])]
    text = describe(examples.status(members=members))  # type: ignore[arg-type]
    assert "beta/CUDA0, for 60 s more: no memory was there" in text


def test_a_member_that_plans_leave_out_is_shown_with_how_long_and_why() -> None:
    failed = {"seconds": 120, "reason": "its rpc-server ended with SIGABRT"}
    members = [examples.member(examples.BETA, "beta", quarantine=failed)]
    text = describe(examples.status(members=members))  # type: ignore[arg-type]
    assert "left out" in text
    assert "beta, for 2 min more: its rpc-server ended with SIGABRT" in text
    assert "left out" not in describe(examples.status())  # type: ignore[arg-type]
    idle = examples.device("CPU", "cpu", 2 << 30, 1 << 30)
    devices = [{**examples.device("CUDA0", "cuda", 2 << 30, 1 << 30), "quarantine": failed}, idle]
    members = [examples.member(examples.BETA, "beta", devices=devices)]
    text = describe(examples.status(members=members))  # type: ignore[arg-type]
    assert text.count("left out") == 1
    holding = examples.member(examples.BETA, "beta", quarantine=failed, layers=[0, 7])
    text = describe(examples.status(members=[holding]))  # type: ignore[arg-type]
    assert "beta, where others can serve: its rpc-server ended with SIGABRT" in text
    text = describe(examples.status(members=members))  # type: ignore[arg-type]
    assert "beta/CUDA0, for 2 min more: its rpc-server ended with SIGABRT" in text
