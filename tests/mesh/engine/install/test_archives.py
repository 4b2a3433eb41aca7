import io
import os
import tarfile
from functools import partial
from pathlib import Path

import pytest
import trio

from mesh.engine.engine_errors import CorruptDownload
from mesh.engine.install.archives import unpack_tar, unpack_wheel
from tests.mesh.engine.install.fake_index import make_tar, make_wheel


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def untar(tmp_path: Path, data: bytes, prefix: str = "p/src") -> Path:
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(data)
    target = tmp_path / "out"
    unpack = partial(unpack_tar, archive, prefix, target, lambda path: path.parts[0] != "docs")
    await trio.to_thread.run_sync(unpack)
    return target


async def test_only_what_is_wanted_below_the_prefix_is_unpacked(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "p/src/a/b.txt": "b",
        "p/src/run.sh": "#!",
        "p/src/docs/x": "x",
        "p/other": "o",
    }
    target = await untar(tmp_path, make_tar(files))
    assert sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()) == [
        "a/b.txt",
        "run.sh",
    ]
    assert os.access(target / "run.sh", os.X_OK)
    assert not os.access(target / "a/b.txt", os.X_OK)
    assert (target / "a/b.txt").stat().st_mtime == 1_600_000_000


@pytest.mark.parametrize("name", ["p/src/../../../evil", "/etc/evil", "p/src/a/../../../evil"])
async def test_names_that_lead_outside_are_refused_and_nothing_is_left(tmp_path: Path, name: str) -> None:
    with pytest.raises(CorruptDownload, match="outside"):
        await untar(tmp_path, make_tar({"p/src/good": "x", name: "evil"}))
    assert names(tmp_path) == ["a.tar.gz"]


async def test_links_are_left_out(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            link = tarfile.TarInfo(f"p/src/link{kind!r}")
            link.type, link.linkname = kind, "/etc/passwd"
            tar.addfile(link)
    assert names(await untar(tmp_path, buffer.getvalue())) == []


@pytest.mark.parametrize("cut", [10, 200, -1])
async def test_a_broken_archive_is_refused_and_nothing_is_left(tmp_path: Path, cut: int) -> None:
    data = make_tar({f"p/src/{number}": os.urandom(5000) for number in range(20)})
    with pytest.raises(CorruptDownload, match="cannot be unpacked") as caught:
        await untar(tmp_path, data[:cut] if cut > 0 else b"no archive at all")
    assert "rm " in caught.value.hint
    assert names(tmp_path) == ["a.tar.gz"]


async def test_what_an_interrupted_attempt_left_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "out.unpacking" / "old").mkdir(parents=True)
    target = await untar(tmp_path, make_tar({"p/src/a": "a"}))
    assert names(target) == ["a"]


async def test_a_cancelled_unpacking_stops_and_leaves_nothing(tmp_path: Path) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await untar(tmp_path, make_tar({"p/src/a": "a"}))
    assert scope.cancelled_caught
    assert not (tmp_path / "out").exists()


async def unzip(tmp_path: Path, data: bytes) -> Path:
    (tmp_path / "a.whl").write_bytes(data)
    await trio.to_thread.run_sync(unpack_wheel, tmp_path / "a.whl", tmp_path / "out")
    return tmp_path / "out"


async def test_a_wheel_is_unpacked_with_its_permissions(tmp_path: Path) -> None:
    target = await unzip(tmp_path, make_wheel({"z/zig": ("#!", 0o100755), "z/lib.h": ("int", 0o100644)}))
    assert os.access(target / "z/zig", os.X_OK)
    assert not os.access(target / "z/lib.h", os.X_OK)


async def test_a_wheel_that_leads_outside_or_is_broken_is_refused(tmp_path: Path) -> None:
    for data in (make_wheel({"../evil": ("x", 0o644)}), b"no wheel"):
        with pytest.raises(CorruptDownload):
            await unzip(tmp_path, data)
        assert names(tmp_path) == ["a.whl"]
