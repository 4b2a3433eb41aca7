"""Who downloads: this machine if it can, else the member with the most room; an error says why nobody can."""

from pathlib import Path
from typing import Any, cast

import pytest

from mesh.copies.copy_manager import CopyState
from mesh.copies.copy_policy import MARGIN
from mesh.copies.copy_store import CopyStore
from mesh.hub.repository import HubFile
from mesh.member.stay import Stay
from mesh.operations.pulling.download_place import place_download, why_not_here
from mesh.operations.pulling.wanted_download import WantedDownload
from mesh.wire.errors import MeshError
from mesh.wire.facts import Record
from mesh.wire.identity import NodeId, id_text
from mesh.wire.profile import Profile
from mesh.wire.rights import ALL_RIGHTS, Rights
from tests.mesh.operations.homes import FakeHome, FakePool, admitted
from tests.mesh.protocol.stage import Actor
from tests.mesh.protocol.stage import Stage as Scene

GIB = 1 << 30


class FakeSurvey:
    """Answers for members with the room that they have."""

    def __init__(self) -> None:
        self.free: dict[NodeId, int] = {}

    async def survey(self, root: bytes, members: Any) -> dict[NodeId, CopyState]:
        asked = {member.id for member in members}
        assert root == b""
        return {id: CopyState(False, 0, free, "", 0, 0, "") for id, free in self.free.items() if id in asked}


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The room on this machine's disk, under ``free``."""
    room = {"free": 100 * GIB}
    monkeypatch.setattr(CopyStore, "free", lambda self: room["free"])
    return room


def pool_of(scene: Scene, folder: Path) -> FakePool:
    pool = FakeHome(folder, scene).stay
    pool.copies = FakeSurvey()
    return pool


def member(scene: Scene, number: int, name: str, rights: Rights = ALL_RIGHTS, rank: int = 1) -> Actor:
    actor = scene.member(number, rights=rights)
    profile = Profile(name=name, addresses=(actor.address,), rank=rank)
    actor.tells(actor.sign(Record(scene.pool, actor.id, 1, bytes(8), 2, False, profile)))
    return actor


async def placed(pool: FakePool, size: int) -> dict[str, Any]:
    return dict(await place_download(cast(Stay, pool), size))


async def test_this_machine_downloads_if_it_has_room(here: dict[str, int], tmp_path: Path) -> None:
    scene = Scene()
    pool = pool_of(scene, tmp_path)
    mine = {"member": id_text(scene.node.id), "name": "self", "here": True, "reason": ""}
    assert await placed(pool, 99 * GIB) == mine


async def test_without_room_here_the_member_with_the_most_downloads(
    here: dict[str, int], tmp_path: Path
) -> None:
    scene = Scene()
    pool = pool_of(scene, tmp_path)
    some, most, less = (
        member(scene, number, name) for number, name in ((2, "some"), (3, "most"), (4, "less"))
    )
    pool.copies.free = {some.id: 20 * GIB, most.id: 30 * GIB, less.id: 2 * GIB}
    here["free"] = 5 * GIB
    assert await placed(pool, 8 * GIB) == {
        "member": id_text(most.id),
        "name": "most",
        "here": False,
        "reason": "self lacks 4.0 GiB of disk space",
    }


async def test_where_nobody_can_download_each_reason_is_told(here: dict[str, int], tmp_path: Path) -> None:
    scene = Scene()
    pool = pool_of(scene, tmp_path)
    attic = member(scene, 2, "attic")
    member(scene, 3, "phone", rank=0)
    member(scene, 4, "desk", rights=Rights.WORK)
    member(scene, 5, "mute")
    pool.copies.free = {attic.id: 8 * GIB}
    here["free"] = 0
    with pytest.raises(MeshError, match=r"nobody can download it: self lacks 11\.0 GiB") as caught:
        await placed(pool, 10 * GIB)
    for words in (
        "attic lacks 3.0 GiB of disk",
        "phone may not lead",
        "desk may not lead",
        "mute does not ans",
    ):
        assert words in caught.value.message


async def test_a_machine_that_may_not_lead_has_another_download(here: dict[str, int], tmp_path: Path) -> None:
    scene = Scene()
    scene.republish(rank=0)
    scene.wait(3)
    pool = pool_of(scene, tmp_path)
    with pytest.raises(MeshError, match="nobody can download it: self may not lead"):
        await placed(pool, GIB)
    attic = member(scene, 2, "attic")
    pool.copies.free = {attic.id: 8 * GIB}
    result = await placed(pool, GIB)
    assert (result["name"], result["reason"]) == ("attic", "self may not lead")


async def test_who_is_no_owner_is_told_that_it_has_nobody_download(
    here: dict[str, int], tmp_path: Path
) -> None:
    pool = pool_of(admitted(Rights.WORK | Rights.LEAD), tmp_path)
    here["free"] = 0
    with pytest.raises(MeshError, match="only an owner may have another machine download"):
        await placed(pool, GIB)


def test_what_has_arrived_of_a_download_needs_no_room_again(
    here: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, sha = cast(Stay, pool_of(Scene(), tmp_path)), "ab" * 32
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    files = (HubFile("a.gguf", 1 << 20, sha), HubFile("b.gguf", 5))
    wanted = WantedDownload("some/one", "0" * 40, files, 1)
    here["free"] = MARGIN
    assert why_not_here(pool, wanted) == "lacks 1.0 MiB of disk space"
    blobs = tmp_path / "hub" / "models--some--one" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{sha}.incomplete").write_bytes(bytes(1 << 20))
    here["free"] = MARGIN + 5
    assert why_not_here(pool, wanted) is None
