"""The command that builds the engine for the software driver: what it needs, and what it says without."""

import os
from pathlib import Path

import pytest

from mesh.engine.backends.backend_table import kind_of_device
from mesh.engine.engine_errors import EngineError
from mesh.engine.install import pins
from mesh.engine.install.cache import (
    LLAMA_SERVER,
    RPC_SERVER,
    engine_dir,
    processor_identity,
    settings_hash,
    write_marker,
)
from mesh.engine.types import Engine
from tests.gpu import vulkan
from tests.gpu.vulkan_headers import later_headers


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on the PATH; its programs note how they were called in ``calls``."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def lay_program(folder: Path, name: str, does: str) -> None:
    (folder / name).write_text(f'#!/bin/sh\necho {name} "$@" >> {folder}/calls\n{does}\n')
    (folder / name).chmod(0o755)


def calls_of_apt(folder: Path) -> list[str]:
    return [line for line in (folder / "calls").read_text().splitlines() if line.startswith("apt-get")]


def lay_dpkg(folder: Path, *installed: str) -> None:
    lay_program(folder, "dpkg-query", "\n".join(f"echo {name} installed" for name in installed))


def test_packages_that_dpkg_does_not_list_are_missing(tools: Path) -> None:
    assert vulkan.missing_packages() == list(vulkan.PACKAGES), "there is no dpkg"
    lay_dpkg(tools, *vulkan.PACKAGES[1:])
    assert vulkan.missing_packages() == [vulkan.PACKAGES[0]]


def test_root_installs_what_is_missing_and_nothing_else(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_dpkg(tools, *vulkan.PACKAGES[2:])
    lay_program(tools, "apt-get", "exit 0")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    vulkan.install_packages()
    wanted = " ".join(vulkan.PACKAGES[:2])
    assert calls_of_apt(tools) == ["apt-get update", f"apt-get install -y --no-install-recommends {wanted}"]


def test_another_user_is_told_what_to_type(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_dpkg(tools, *vulkan.PACKAGES[1:])
    lay_program(tools, "apt-get", "exit 0")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(EngineError) as raised:
        vulkan.install_packages()
    assert raised.value.hint.endswith(f"sudo apt-get install -y --no-install-recommends {vulkan.PACKAGES[0]}")
    assert calls_of_apt(tools) == []


def test_the_engine_is_found_once_it_is_built_and_its_driver_is_there(tools: Path, tmp_path: Path) -> None:
    lay_dpkg(tools, *vulkan.PACKAGES)
    assert vulkan.built(tmp_path) is None
    flags = vulkan.backend(later_headers(tmp_path)).flags
    settings = settings_hash(flags, processor_identity())
    folder = engine_dir(tmp_path, "vulkan", settings, "g++")
    folder.mkdir(parents=True)
    for name in (LLAMA_SERVER, RPC_SERVER):
        lay_program(folder, name, "exit 0")
    made = Engine(folder / LLAMA_SERVER, folder / RPC_SERVER, pins.COMMIT, "7.0.0", "vulkan", "built")
    write_marker(folder, made, settings, "g++")
    assert vulkan.built(tmp_path) == made
    lay_dpkg(tools)
    assert vulkan.built(tmp_path) is None


def test_its_device_is_one_of_vulkans() -> None:
    kind = kind_of_device(vulkan.DEVICE.rstrip("0"))
    assert kind is not None
    assert kind.name == vulkan.backend(Path("/usr/include")).kind


def test_what_is_missing_is_said_in_a_line(tools: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert vulkan.main(["--cache", str(tools / "cache")]) == 1
    assert capsys.readouterr().err.startswith("packages are missing: ")
