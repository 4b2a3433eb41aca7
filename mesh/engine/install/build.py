"""From nothing to a usable engine: an installed pair, a cached one, or one built from the pinned source."""

import json
import math
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeVar

import trio

from mesh.engine.backends.backend_table import kind_named
from mesh.engine.engine_errors import EngineError
from mesh.engine.install import pins
from mesh.engine.install.build_progress import Course
from mesh.engine.install.cache import (
    LLAMA_SERVER,
    RPC_SERVER,
    engine_dir,
    processor_identity,
    read_marker,
    settings_hash,
    write_atomically,
    write_marker,
)
from mesh.engine.install.compile import check_space, compile_targets, configure
from mesh.engine.install.installed import find_present
from mesh.engine.install.llama_source import fetch_sdist, unpack_source
from mesh.engine.install.locate import inspect_pair
from mesh.engine.install.locks import exclusive
from mesh.engine.install.toolchain import Toolchain, find_compiler, zig_toolchain
from mesh.engine.types import Backend, Engine, Progress, Report

__all__ = ["Progress", "ensure"]

T = TypeVar("T")
Inspect = Callable[[Path, Path, Literal["installed", "built"]], Awaitable[Engine]]

_DISK_NEEDED_ZIG = 1_200_000_000
_PROGRESS_FILE = "progress.json"
_PROGRESS_SECONDS = 1.0


def free_space(directory: Path) -> int:
    """Bytes free for this user where ``directory`` lies."""
    return shutil.disk_usage(directory).free


def remove_tree(path: Path) -> None:
    """Remove a folder, as much of it as this user may remove."""
    shutil.rmtree(path, ignore_errors=True)


async def ensure(backend: Backend, cache: Path, report: Report) -> Engine:
    """An engine for ``backend``: installed, from ``cache``, or built now.

    Cancellable at any moment; finished work is kept, and the next call continues from there. When another
    process builds the same, waits for it and uses its result. Raises EngineError.
    """
    course = Course(report, os.cpu_count() or 1)
    engine = await find_present(backend, cache)
    if engine is None:
        engine = await Builder(backend, cache, course).build()
    course.ready(f"{engine.origin}: {engine.llama_server.parent}")
    return engine


class Builder:
    """One build of one engine. Several processes may run one each: one of them works, the others wait."""

    def __init__(
        self,
        backend: Backend,
        cache: Path,
        course: Course,
        *,
        inspect: Inspect = inspect_pair,
        free: Callable[[Path], int] = free_space,
    ) -> None:
        self._backend = backend
        self._cache = cache
        self._course = course
        self._inspect = inspect
        self._free = free
        self._flags = (*pins.BUILD_FLAGS, *backend.flags)
        self._settings = settings_hash(backend.flags, processor_identity())
        self._published = -math.inf

    async def build(self) -> Engine:
        """The engine, which this process or meanwhile another one has built."""
        try:
            await self._check_space(0)
            toolchain = await self._toolchain()
            directory = engine_dir(self._cache, self._backend.kind, self._settings, toolchain.identity)
            async with exclusive(directory.with_name(directory.name + ".lock"), self._waiting(directory)):
                finished = read_marker(directory, self._settings)
                return finished or await self._build_in(directory, toolchain)
        except OSError as error:
            raise EngineError(
                f"the engine cannot be built in {self._cache}: {error.strerror or error}",
                "free some space there, or set MESH_CACHE_DIR to another folder",
            ) from error

    async def _build_in(self, directory: Path, toolchain: Toolchain) -> Engine:
        source, build, log = directory / "source", directory / "build", directory / "build.log"
        if not await trio.to_thread.run_sync(source.exists):
            sdist = await self._fetch(lambda report: fetch_sdist(self._cache, report), "llama.cpp")
            self._course.tell("unpack", 0.0, None, "unpacking llama.cpp")
            await unpack_source(sdist, source)
            shutil.rmtree(build, ignore_errors=True)
        self._course.tell("configure", 0.0, None, f"configuring llama.cpp for {self._backend.kind}")
        await configure(source, build, self._flags, toolchain, log)
        self._course.measure()
        targets = (RPC_SERVER, LLAMA_SERVER)

        def step(done: int, total: int) -> None:
            self._course.compiled(trio.current_time(), done, total)
            self._publish(directory)

        await compile_targets(build, targets, os.cpu_count() or 1, toolchain, log, step)
        self._course.tell("check", 0.0, 1.0, "trying the engine")
        for name in targets:
            (build / "bin" / name).replace(directory / name)
        engine = await self._inspect(directory / LLAMA_SERVER, directory / RPC_SERVER, "built")
        write_marker(directory, engine, self._settings, toolchain.identity)
        for leftover in (source, build):
            await trio.to_thread.run_sync(remove_tree, leftover)
        (directory / _PROGRESS_FILE).unlink(missing_ok=True)
        return engine

    async def _toolchain(self) -> Toolchain:
        """The machine's compiler; without one, zig's."""
        self._course.tell("compiler", 0.0, None, "looking for a C++ compiler")
        with tempfile.TemporaryDirectory() as work:
            found = await find_compiler(Path(work))
        if isinstance(found, Toolchain):
            return found
        if kind_named(self._backend.kind).own_compiler:
            raise EngineError(
                f"building for {self._backend.kind} needs the machine's own C++ compiler: {found}",
                "install one, for example: sudo apt-get install g++; or build for the CPU: MESH_BACKEND=cpu",
            )
        await self._check_space(_DISK_NEEDED_ZIG)
        why = f"a C++ compiler ({found})"
        return await self._fetch(lambda report: zig_toolchain(self._cache, report), why)

    async def _fetch(
        self, fetch: Callable[[Callable[[int, int | None], None]], Awaitable[T]], what: str
    ) -> T:
        """One download at a time per cache: another build may want the same file."""
        self._course.measure()

        def report(done: int, total: int | None) -> None:
            self._course.downloaded(trio.current_time(), done, total, what)

        downloads = self._cache / "downloads"
        async with exclusive(downloads / ".lock", self._waiting(downloads)):
            return await fetch(report)

    async def _check_space(self, more: int) -> None:
        needed = kind_named(self._backend.kind).disk_needed
        await check_space(self._cache, needed + more, self._free)

    def _publish(self, directory: Path) -> None:
        """Let the builds that wait for this one see its progress."""
        now = trio.current_time()
        if now - self._published >= _PROGRESS_SECONDS:
            self._published = now
            last = self._course.last
            content = json.dumps({"fraction": last.fraction, "eta": last.eta_seconds, "text": last.text})
            write_atomically(directory / _PROGRESS_FILE, content)

    def _waiting(self, directory: Path) -> Callable[[str], None]:
        def tell(holder: str) -> None:
            fraction, eta, text = 0.0, None, "no news yet"
            with suppress(OSError, ValueError, KeyError):
                seen = json.loads((directory / _PROGRESS_FILE).read_text())
                fraction, eta, text = seen["fraction"], seen["eta"], seen["text"]
            self._course.waiting(fraction, eta, f"process {holder or '?'} is at it already, waiting: {text}")

        return tell
