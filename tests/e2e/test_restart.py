"""`mesh restart`: the same member, with the same options, as another process."""

import json
from typing import Any

import pytest
import trio

from mesh.runtime.program_build import build
from mesh.wire.versions import SPOKEN
from tests.e2e.pools import alive, found, join, status_when
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = pytest.mark.usefixtures("engine")

OPTIONS = ("--port", "50077", "--api-port", "50099", "--no-lead")


def settings(host: Host) -> dict[str, Any]:
    """The options of the host's last start."""
    read: dict[str, Any] = json.loads(next(host.folder.rglob("settings.json")).read_text())
    return read


def member(status: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in status["members"] if one["name"] == name)


async def test_a_restarted_member_is_seen_to_leave_and_comes_back_with_its_options(
    lab: Lab,
) -> None:
    anna, bert = lab.hosts(2)
    join(bert, found(anna), "--log-format", "json", *OPTIONS)
    before = await status_when(anna, lambda status: len(alive(status)) == 2)
    old, options, own = bert.sidecar(), settings(bert), bert.status()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bert.amesh, "restart")
        await status_when(anna, lambda status: member(status, "bert")["state"] == "left", 10.0)
    new = bert.sidecar()
    assert old is not None
    assert new is not None
    assert new.pid != old.pid
    assert settings(bert) == options
    assert options["log_format"] == "json"
    after = await status_when(anna, lambda status: len(alive(status)) == 2)
    for key in ("id", "address", "rights"):
        assert member(after, "bert")[key] == member(before, "bert")[key]
    now = bert.status()
    assert (now["pool"], now["api"], now["self"]) == (own["pool"], own["api"], own["self"])


async def test_members_tell_their_builds_and_none_is_said_to_be_another(lab: Lab) -> None:
    anna, bert = lab.hosts(2)
    join(bert, found(anna))
    for host in (anna, bert):
        status = await status_when(host, lambda status: len(alive(status)) == 2)
        assert {(one["build"], *one["versions"]) for one in status["members"]} == {(build(), *SPOKEN)}
        assert status["running"] == status["installed"] == {"version": status["version"], "build": build()}
        assert status["problems"] == []
