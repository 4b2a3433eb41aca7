"""The room on a disk that the test fills."""

import errno
from pathlib import Path

import pytest

from mesh.hub.downloader.disk_room import LEAST, LOOK_BYTES, MARGIN, DiskRoom, free_at, unusable
from mesh.hub.hub_lines import HubError


class FillingDisk:
    """``free`` bytes, whoever looks."""

    def __init__(self, free: int) -> None:
        self.free = free
        self.looks = 0

    def __call__(self, folder: Path) -> int:
        self.looks += 1
        return self.free


def test_what_comes_must_leave_the_margin_free(tmp_path: Path) -> None:
    disk = FillingDisk(MARGIN + 1000)
    room = DiskRoom(tmp_path, "the way out", disk)
    room.check(1000)
    with pytest.raises(HubError) as caught:
        room.check(MARGIN)
    assert (caught.value.code, caught.value.hint) == ("disk", "the way out")
    assert "1.0 GiB are to come" in caught.value.message
    disk.free = 0
    room.check(0)  # all is there


def test_a_disk_that_others_fill_meanwhile_stops_the_download(tmp_path: Path) -> None:
    disk = FillingDisk(LEAST)
    room = DiskRoom(tmp_path, "the way out", disk)
    room.look(LOOK_BYTES)
    disk.free -= 1
    room.look(LOOK_BYTES + 1)
    with pytest.raises(HubError, match="it fills up"):
        room.look(2 * LOOK_BYTES)
    assert disk.looks == 2


def test_the_room_of_a_folder_that_is_not_there_is_that_of_its_disk(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "a" / "b", tmp_path / "file" / "c"):
        assert free_at(folder) > 0


def test_a_full_disk_and_one_without_rights_are_told_apart(tmp_path: Path) -> None:
    full = unusable(tmp_path, OSError(errno.ENOSPC, "No space left on device"), "way out")
    assert (full.code, full.message) == ("disk", f"{tmp_path} is full")
    closed = unusable(tmp_path, OSError(errno.EROFS, "Read-only file system", "/cache/x"), "")
    assert closed.message == "nothing can be written to /cache/x: read-only file system"
