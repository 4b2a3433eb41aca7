"""While a model is loaded over cables of different width, every machine tells how far that is."""

import re
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.e2e.pools import client, found, is_ready, join, leader, make_model, status_when
from tests.lab.lab import Lab

pytestmark = pytest.mark.usefixtures("engine")

WIDE, SLOW = 40, 12  # Mbit/s: a worker's share of some 24 MB takes 5 s, or 16 s


async def test_a_load_tells_bytes_and_seconds_and_names_the_machine_on_the_slow_cable(
    lab: Lab, tmp_path: Path
) -> None:
    if not lab.with_namespaces:
        pytest.skip("there are no cables to make narrow")
    desk, shed, attic = lab.host("desk"), lab.host("shed"), lab.host("attic")
    token = found(desk)
    for host in (shed, attic):
        join(host, token, "--no-lead")
    await status_when(desk, lambda status: leader(status) == "desk" and knows_engines(status))
    shed.narrow(WIDE)
    attic.narrow(SLOW)
    split = ("--layers", "desk=6,shed=9,attic=9")
    served = desk.popen(desk.mesh_command("serve", make_model(tmp_path), "--ctx", "512", *split, "--wait"))

    status = await status_when(shed, lambda status: "slowest" in reason(status))
    assert re.fullmatch(
        r"[\d.]+ MiB of [\d.]+ MiB, \d+ s left; attic is slowest, [\d.]+ MB/s", reason(status)
    )
    assert 0 < status["deployment"]["progress"] < 1
    async with client(attic) as http:
        (model,) = (await http.get("/v1/models")).json()["data"]
    assert (model["id"], model["status"]["state"]) == ("frankenstein.gguf", "loading")

    await status_when(shed, is_ready)
    assert await trio.to_thread.run_sync(served.wait) == 0
    printed = (desk.folder / "output.log").read_text()
    lines = [line for line in printed.splitlines() if "% " in line and "loading" in line]
    assert len(lines) == len(set(lines)) > 2
    assert "attic is slowest" in printed


def knows_engines(status: dict[str, Any]) -> bool:
    return len([member for member in status["members"] if member["llama_cpp"]]) == 3


def reason(status: dict[str, Any]) -> str:
    return str((status["deployment"] or {}).get("reason", ""))
