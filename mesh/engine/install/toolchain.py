"""A C++17 compiler: the machine's own, or the one in the ``ziglang`` wheel."""

import os
import platform
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import trio

from mesh.engine.engine_errors import EngineError
from mesh.engine.install import pins
from mesh.engine.install.archives import unpack_wheel
from mesh.engine.install.package_index import IndexFile, download, index_url, list_files, open_client
from mesh.engine.process.child import Process

_TEST_PROGRAM = """\
#include <filesystem>
#include <optional>
#include <thread>
int main() {
    std::optional<int> answer;
    std::thread([&] { answer = std::filesystem::exists("/") ? 0 : 1; }).join();
    if (auto [value, set] = std::pair(*answer, true); set) return value;
    return 2;
}
"""
_TEST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Toolchain:
    """The compiler and the flags that CMake gets."""

    identity: str
    """Name and version: part of the engine's identity in the cache."""
    flags: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


async def find_compiler(work: Path, environ: Mapping[str, str] = os.environ) -> Toolchain | str:
    """The machine's own compiler, proved with a small C++17 program inside ``work``; or why there is none."""
    if sys.platform == "darwin" and await _output(["/usr/bin/xcode-select", "-p"]) is None:
        return "the Xcode command line tools are not installed"
    reasons = []
    for cc, cxx in _candidates(environ):
        cc_path, cxx_path = (shutil.which(name, path=environ.get("PATH")) for name in (cc, cxx))
        if cc_path is None or cxx_path is None:
            reasons.append(f"no {cxx if cc_path else cc}")
            continue
        if not await _compiles(cxx_path, work):
            reasons.append(f"{cxx} does not compile C++17")
            continue
        version = (await _output([cxx_path, "--version"]) or cxx).splitlines()[0]
        return Toolchain(version, (f"-DCMAKE_C_COMPILER={cc_path}", f"-DCMAKE_CXX_COMPILER={cxx_path}"))
    return ", ".join(reasons)


def _candidates(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    known = [("gcc", "g++"), ("clang", "clang++"), ("cc", "c++")]
    if environ.get("CC") and environ.get("CXX"):
        return [(environ["CC"], environ["CXX"]), *known]
    return known


async def _compiles(cxx: str, work: Path) -> bool:
    source, program = _write_test(work), work / "test.out"
    if await _output([cxx, "-std=c++17", "-pthread", str(source), "-o", str(program)]) is None:
        return False
    return await _output([str(program)]) is not None


def _write_test(work: Path) -> Path:
    source = work / "test.cpp"
    source.write_text(_TEST_PROGRAM)
    return source


async def _output(argv: list[str]) -> str | None:
    """The output of a program that succeeds within a minute; else None."""
    lines: list[str] = []
    try:
        process = Process(argv)
    except OSError:
        return None
    with trio.move_on_after(_TEST_SECONDS):
        return "\n".join(lines) if await process.run(lines.append, grace=0.5) == 0 else None
    return None


async def zig_toolchain(cache: Path, report: Callable[[int, int | None], None]) -> Toolchain:
    """The compiler of the ``ziglang`` wheel, fetched into ``cache`` if it is missing.

    The caller holds a lock on the cache's downloads. Raises EngineError.
    """
    home = cache / "zig" / pins.ZIG_VERSION
    if not home.exists():
        async with open_client() as client:
            files = await list_files(client, index_url(), pins.ZIG_PROJECT)
            wheel = choose_zig_wheel(files, sys.platform, platform.machine())
            archive = cache / "downloads" / wheel.name
            await download(client, wheel, archive, report)
        await trio.to_thread.run_sync(unpack_wheel, archive, home)
        archive.unlink()
    zig = home / "ziglang" / "zig"
    tools = cache / "zig" / f"{pins.ZIG_VERSION}-tools"
    write_wrappers(zig, tools)
    zig_cache = str(cache / "zig" / "cache")
    return Toolchain(
        f"zig {pins.ZIG_VERSION}",
        zig_flags(tools, sys.platform),
        {"ZIG_GLOBAL_CACHE_DIR": zig_cache, "ZIG_LOCAL_CACHE_DIR": zig_cache},
    )


def zig_flags(tools: Path, system: str) -> tuple[str, ...]:
    """CMake's flags for the wrapped compiler, which has no OpenMP and, on macOS, no frameworks."""
    flags: tuple[str, ...] = (
        f"-DCMAKE_C_COMPILER={tools / 'cc'}",
        f"-DCMAKE_CXX_COMPILER={tools / 'c++'}",
        f"-DCMAKE_ASM_COMPILER={tools / 'cc'}",
        f"-DCMAKE_AR={tools / 'ar'}",
        f"-DCMAKE_RANLIB={tools / 'ranlib'}",
        "-DGGML_OPENMP=OFF",
        # Its debug information is ten times the size of the programs.
        "-DCMAKE_EXE_LINKER_FLAGS=-s",
    )
    if system == "darwin":
        flags += ("-DGGML_METAL=OFF", "-DGGML_ACCELERATE=OFF", "-DGGML_BLAS=OFF")
    return flags


def write_wrappers(zig: Path, tools: Path) -> None:
    """Write one script per tool, since CMake wants a program where zig has a subcommand."""
    tools.mkdir(parents=True, exist_ok=True)
    for tool in ("cc", "c++", "ar", "ranlib"):
        script = tools / tool
        content = f'#!/bin/sh\nexec {shlex.quote(str(zig))} {tool} "$@"\n'
        if not script.exists() or script.read_text() != content:
            script.write_text(content)
            script.chmod(0o755)


def choose_zig_wheel(files: list[IndexFile], system: str, machine: str) -> IndexFile:
    """The pinned compiler's wheel for an operating system (as ``sys.platform``) and processor."""
    processor = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine.lower(), machine.lower())
    if system == "darwin":
        pattern = rf"macosx_\d+_\d+_{'arm64' if processor == 'aarch64' else processor}"
    else:
        pattern = rf"manylinux\w*_{re.escape(processor)}\b"
    for file in files:
        if file.name.startswith(f"ziglang-{pins.ZIG_VERSION}-") and re.search(pattern, file.name):
            return file
    raise EngineError(
        f"there is no C++ compiler, and the package index has no"
        f" ziglang {pins.ZIG_VERSION} for {system} {machine}",
        "install a compiler, for example: sudo apt-get install g++",
    )
