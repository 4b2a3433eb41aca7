"""``python -m tests.gpu.vulkan [--cache DIR] [--json]``: the engine for Vulkan, over the software driver.

It needs Debian's packages of `PACKAGES` and installs them where it may. The build takes about eight minutes
on two cores, once; tests that want a `Vulkan0` beside a `CPU` are skipped until it is there.
"""

import argparse
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import trio

from mesh.engine.engine_errors import EngineError
from mesh.engine.install.build import ensure
from mesh.engine.install.cache import cache_dir, find_built
from mesh.engine.types import Backend, Engine, Progress
from mesh.wire.errors import MeshError
from tests.gpu.vulkan_headers import SYSTEM, headers, later_headers

HELP: Final = "Build the engine for Vulkan, over Debian's software driver."
ENVIRONMENT: Final = {"GGML_VK_VISIBLE_DEVICES": "0"}
"""Without it the engine takes no software driver; with it this one is `Vulkan0`, of 2048 MiB."""
DEVICE: Final = "Vulkan0"
PACKAGES: Final = ("mesa-vulkan-drivers", "glslc", "libvulkan-dev", "spirv-headers")
_INSTALL_SECONDS: Final = 600.0


def backend(include: Path) -> Backend:
    """What to build, with the headers in ``include``."""
    flags = ("-DGGML_VULKAN=ON", f"-DVulkan_INCLUDE_DIR={include}")
    return Backend("vulkan", "the software driver", "tests.gpu.vulkan", flags)


def built(cache: Path | None = None) -> Engine | None:
    """The engine that this command has built; None where there is none, or the driver is not there."""
    cache = cache or cache_dir()
    if missing_packages():
        return None
    found = (find_built(cache, "vulkan", backend(at).flags) for at in (SYSTEM, later_headers(cache)))
    return next(filter(None, found), None)


def missing_packages() -> list[str]:
    """Those of `PACKAGES` that dpkg does not list as installed; all of them where there is no dpkg."""
    argv = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *PACKAGES]
    try:
        said = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        said = ""
    return [name for name in PACKAGES if f"{name} installed" not in said.splitlines()]


def install_packages() -> None:
    """Install what is missing, where root asks and apt is there. Raises EngineError."""
    missing = missing_packages()
    if not missing:
        return
    typed = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
    hint = f"install them: sudo {' '.join(typed)}"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise EngineError(f"packages are missing: {', '.join(missing)}", hint)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for argv in (["apt-get", "update"], typed):
        done = subprocess.run(argv, stdout=sys.stderr, env=environment, timeout=_INSTALL_SECONDS, check=False)
    if done.returncode != 0:
        raise EngineError(f"apt-get could not install {', '.join(missing)}", hint)


def build(cache: Path) -> Engine:
    """The engine, from the cache or built now. Raises EngineError."""
    install_packages()
    os.environ.update(ENVIRONMENT)  # the built pair is tried with the device that it is built for
    engine = trio.run(_build, cache)
    if engine.backend != "vulkan":
        raise EngineError(
            f"the engine in {engine.llama_server.parent} sees no {DEVICE}", "unset MESH_LLAMA_DIR"
        )
    return engine


async def _build(cache: Path) -> Engine:
    return await ensure(backend(await headers(cache)), cache, _Lines().tell)


class _Lines:
    """A line for each stage, and one for each tenth."""

    def __init__(self) -> None:
        self._last: tuple[str, int] = ("", -1)

    def tell(self, progress: Progress) -> None:
        at = (progress.stage, int(progress.fraction * 10))
        if at != self._last:
            self._last = at
            print(f"{progress.fraction:4.0%} {progress.text}", file=sys.stderr)


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 with the engine, 1 without."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.vulkan", description=HELP)
    parser.add_argument(
        "--cache", type=Path, default=cache_dir(), help="where engines are kept (%(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    try:
        engine = build(options.cache.absolute())
    except MeshError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the next run goes on from here", file=sys.stderr)
        return 130
    print(json.dumps(dataclasses.asdict(engine), default=str) if options.json else engine.llama_server.parent)
    return 0


if __name__ == "__main__":
    sys.exit(main())
