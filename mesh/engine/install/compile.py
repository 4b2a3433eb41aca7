"""Configuring and compiling a CMake project with the wheels' cmake and ninja, interruptible at any time."""

import errno
import os
import shutil
import sysconfig
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

import trio

from mesh.engine.engine_errors import EngineError
from mesh.engine.install.build_progress import parse_step
from mesh.engine.install.toolchain import Toolchain
from mesh.engine.process.child import Process

_NICENESS = 10
_STEPS_FILE = "steps"


def tool(name: str) -> str:
    """The program of the wheel ``name`` (``cmake`` or ``ninja``), wherever it is; else the PATH's."""
    try:
        files = metadata.files(name) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == name and (path := Path(str(file.locate()))).is_file() and os.access(path, os.X_OK):
            return str(path.resolve())
    found = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    if found is None:
        raise EngineError(f"there is no {name}", f"install it: python -m pip install {name}")
    return found


async def configure(source: Path, build: Path, flags: Sequence[str], toolchain: Toolchain, log: Path) -> None:
    """Run CMake, unless the build folder was configured by an interrupted run. Raises EngineError."""
    if (build / "build.ninja").exists():
        return  # ninja itself configures again when a CMake file has changed
    _make_empty(build)
    argv = [
        tool("cmake"),
        "-S",
        str(source),
        "-B",
        str(build),
        "-G",
        "Ninja",
        f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}",
    ]
    await _run(
        [*argv, *toolchain.flags, *flags], toolchain.environment, log, "configuring llama.cpp", lambda _: None
    )


async def compile_targets(
    build: Path,
    targets: Sequence[str],
    jobs: int,
    toolchain: Toolchain,
    log: Path,
    step: Callable[[int, int], None],
) -> None:
    """Run ninja; ``step`` gets the steps done and in all, including those of earlier, interrupted runs."""
    known = _read_steps(build)

    def on_line(line: str) -> None:
        nonlocal known
        counted = parse_step(line)
        if counted is not None:
            done, left = counted
            if known < left:
                known = left
                (build / _STEPS_FILE).write_text(str(known))
            step(known - left + done, known)

    argv = [tool("ninja"), "-C", str(build), f"-j{jobs}", *targets]
    environment = {**toolchain.environment, "NINJA_STATUS": "[%f/%t] "}
    await _run(argv, environment, log, "compiling llama.cpp", on_line)


def _make_empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _read_steps(build: Path) -> int:
    try:
        return int((build / _STEPS_FILE).read_text())
    except (OSError, ValueError):
        return 0


async def _run(
    argv: Sequence[str], environment: Mapping[str, str], log: Path, what: str, on_line: Callable[[str], None]
) -> None:
    """Run a tool at low priority, so that a machine that builds stays a responsive member of its pool."""
    tail: deque[str] = deque(maxlen=200)
    with log.open("a") as file:

        def keep(line: str) -> None:
            tail.append(line)
            file.write(line + "\n")
            on_line(line)

        process = Process(argv, environment={**os.environ, **environment}, niceness=_NICENESS)
        code = await process.run(keep, grace=2.0)
    if code != 0:
        raise EngineError(*explain_failure(what, code, list(tail), log))


def explain_failure(what: str, code: int, lines: Sequence[str], log: Path) -> tuple[str, str]:
    """``(message, hint)`` for a tool that failed, from the end of its output."""
    output = "\n".join(lines)
    if os.strerror(errno.ENOSPC) in output:
        return (
            f"{what} failed: the disk is full",
            f"free some space where {log.parent} lies, or set MESH_CACHE_DIR",
        )
    if code == -9 or "Killed signal" in output or "signal 9" in output:
        return f"{what} failed: it was killed, probably for want of memory", "free some memory and try again"
    said = [line.strip() for line in lines if line.strip()]
    errors = [line for line in said if "error" in line.lower()]
    telling = (errors or said[-1:] or ["no output"])[0]
    if telling.startswith("CMake Error") and telling in said[:-1]:
        telling = said[said.index(telling) + 1]  # the first line says no more than where it was found
    return f"{what} failed: {telling[:300]}", f"the whole output is in {log}"


async def check_space(directory: Path, needed: int, free: Callable[[Path], int]) -> None:
    """Raise EngineError unless ``needed`` bytes are free where ``directory`` is or will be."""
    directory = _existing(directory)
    available = await trio.to_thread.run_sync(free, directory)
    if available < needed:
        raise EngineError(
            f"building the engine needs {needed / 1e9:.1f} GB of disk,"
            f" and {directory} has {available / 1e9:.1f} GB free",
            "free some space, or set MESH_CACHE_DIR to a folder on a larger disk",
        )


def _existing(directory: Path) -> Path:
    return next(folder for folder in (directory, *directory.parents) if folder.exists())
