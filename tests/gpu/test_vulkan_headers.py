"""Which headers the engine for Vulkan is compiled with, and how later ones come."""

import shutil
import subprocess
from pathlib import Path

import pytest

from mesh.engine.engine_errors import CorruptDownload, EngineError
from mesh.engine.install.package_index import IndexFile
from tests.gpu import vulkan_headers
from tests.gpu.vulkan_headers import headers, later_address, later_headers, new_enough, unpack, version
from tests.mesh.engine.conftest import index
from tests.mesh.engine.install.fake_index import FakeIndex, sha256

__all__ = ["index"]


def lay_headers(include: Path, last: int) -> Path:
    (include / "vulkan").mkdir(parents=True)
    text = f"// Vulkan\n#define VK_HEADER_VERSION {last}\n#define VK_HEADER_VERSION_COMPLETE X\n"
    (include / "vulkan/vulkan_core.h").write_text(text)
    return include


def make_package(folder: Path, last: int) -> Path:
    """A Debian package with such headers."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("there is no dpkg-deb")
    tree = folder / "tree"
    lay_headers(tree / "usr/include", last)
    (tree / "DEBIAN").mkdir(mode=0o755)
    control = "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x <x@x.invalid>\nDescription: x\n"
    (tree / "DEBIAN/control").write_text(control)
    package = folder / "x.deb"
    subprocess.run(["dpkg-deb", "--build", tree, package], check=True, capture_output=True)
    return package


def test_the_version_is_read_from_the_headers(tmp_path: Path) -> None:
    assert version(tmp_path) == 0
    assert version(lay_headers(tmp_path / "old", 239)) == 239
    assert not new_enough(tmp_path / "old")
    assert new_enough(lay_headers(tmp_path / "new", 272))


async def test_headers_of_the_system_are_used_where_they_will_do(tmp_path: Path) -> None:
    system = lay_headers(tmp_path / "system", 272)
    assert await headers(tmp_path / "cache", system) == system


async def test_later_headers_are_fetched_from_the_systems_mirror_once(
    tmp_path: Path, index: FakeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = make_package(tmp_path, 309).read_bytes()
    index.files = {"debian": {vulkan_headers.LATER.name: package}}
    files = index.url.replace("/simple", "/files/debian")
    monkeypatch.setattr(vulkan_headers, "_where_apt_would_fetch", lambda: f"{files}/older.deb")
    file = IndexFile(vulkan_headers.LATER.name, "", sha256(package), len(package))
    monkeypatch.setattr(vulkan_headers, "LATER", file)
    system = lay_headers(tmp_path / "system", 239)
    for _ in range(2):
        assert await headers(tmp_path / "cache", system) == later_headers(tmp_path / "cache")
    assert version(later_headers(tmp_path / "cache")) == 309
    assert len(index.requests) == 1


async def test_another_package_than_the_pinned_one_is_refused(
    tmp_path: Path, index: FakeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.files = {"debian": {vulkan_headers.LATER.name: b"another"}}
    files = index.url.replace("/simple", "/files/debian")
    monkeypatch.setattr(vulkan_headers, "_where_apt_would_fetch", lambda: f"{files}/older.deb")
    with pytest.raises(CorruptDownload):
        await headers(tmp_path / "cache", tmp_path / "system")
    assert not later_headers(tmp_path / "cache").exists()


def test_a_package_lies_beside_the_systems_own_on_the_mirror() -> None:
    here = "http://mirror.invalid/debian/pool/main/v/vulkan-loader/libvulkan-dev_1_amd64.deb"
    assert later_address(here, "b.deb") == "http://mirror.invalid/debian/pool/main/v/vulkan-loader/b.deb"


def test_a_package_without_newer_headers_leaves_what_was_there(tmp_path: Path) -> None:
    include = lay_headers(tmp_path / "cache/include", 300)
    with pytest.raises(EngineError, match="holds no newer headers"):
        unpack(make_package(tmp_path, 239), include)
    assert version(include) == 300
