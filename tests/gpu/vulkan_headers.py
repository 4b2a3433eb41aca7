"""Headers of Vulkan that are new enough for llama.cpp: the system's, or a later Debian's beside them.

Debian 12 has those of 1.3.239, with which ggml-vulkan.cpp breaks after minutes of compiling.
"""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

import trio

from mesh.engine.backends.vulkan import OLDEST_HEADERS, header_version
from mesh.engine.engine_errors import EngineError
from mesh.engine.install.package_index import IndexFile, download, open_client

SYSTEM: Final = Path("/usr/include")
PACKAGE: Final = "libvulkan-dev"
LATER: Final = IndexFile(
    f"{PACKAGE}_1.4.309.0-1_amd64.deb",
    "",
    "8d329d465e16168afff58b1bd0dd6db46aac2cc3f56054a481b25a04e90b345a",
    1_556_388,
)
"""Debian 13's; headers are the same on every architecture. Its address is beside the system's own package."""
_SECONDS: Final = 60.0


def version(include: Path) -> int:
    """The last part of the version of the headers in a folder; 0 where there are none."""
    try:
        return header_version((include / "vulkan/vulkan_core.h").read_text(errors="replace"))
    except OSError:
        return 0


def new_enough(include: Path) -> bool:
    return version(include) >= OLDEST_HEADERS


def later_headers(cache: Path) -> Path:
    """Where the later headers are or will be."""
    return cache / "vulkan-headers" / LATER.name.split("_")[1]


async def headers(cache: Path, system: Path = SYSTEM) -> Path:
    """The folder to compile with: ``system`` where it will do, else one in ``cache``. Raises EngineError."""
    if new_enough(system):
        return system
    later = later_headers(cache)
    if not new_enough(later):
        package = cache / "downloads" / LATER.name
        address = later_address(await trio.to_thread.run_sync(_where_apt_would_fetch), LATER.name)
        async with open_client() as client:
            file = IndexFile(LATER.name, address, LATER.sha256, LATER.size)
            await download(client, file, package, lambda done, total: None)
        await trio.to_thread.run_sync(unpack, package, later)
        package.unlink()
    return later


def later_address(address: str, name: str) -> str:
    """Where a mirror has another package of the same source, from where it has this system's."""
    return f"{address.rpartition('/')[0]}/{name}"


def unpack(package: Path, include: Path) -> None:
    """Lay a package's folder of headers at ``include``, whole or not at all."""
    include.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=include.parent) as work:
        done = subprocess.run(
            ["dpkg-deb", "-x", str(package), work],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        found = Path(work) / "usr/include"
        if done.returncode != 0 or not new_enough(found):
            raise EngineError(f"{package} holds no newer headers: {done.stderr.strip()}", f"remove {package}")
        shutil.rmtree(include, ignore_errors=True)
        found.rename(include)


def _where_apt_would_fetch() -> str:
    argv = ["apt-get", "download", "--print-uris", PACKAGE]
    try:
        said = subprocess.run(argv, capture_output=True, text=True, timeout=_SECONDS, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        said = ""
    found = re.match(r"'(https?://[^']+)'", said)
    if found is None:
        raise EngineError(
            f"apt knows no mirror that has {PACKAGE}",
            f"run: apt-get update; or put Vulkan's headers (1.3.{OLDEST_HEADERS} or later) into {SYSTEM}",
        )
    return found.group(1)
