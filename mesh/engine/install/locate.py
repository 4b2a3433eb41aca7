"""Finds an installed pair of llama.cpp programs, and proves that it works as one engine."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Literal

import trio

from mesh.engine.backends.backend_table import kind_of_device
from mesh.engine.backends.cpu import CPU
from mesh.engine.engine_errors import EngineError, PairError
from mesh.engine.install import pins
from mesh.engine.install.cache import LLAMA_SERVER, RPC_SERVER
from mesh.engine.process.child import Process
from mesh.engine.process.rpc_port import ACCEPTED, free_port, greeting_version, wait_for_listener
from mesh.engine.types import Engine

__all__ = ["Engine", "find_installed", "inspect_pair"]

RPC_SERVER_NAMES = (RPC_SERVER, "rpc-server")
_HOMEBREW = ("/opt/homebrew/bin", "/usr/local/bin", "/home/linuxbrew/.linuxbrew/bin")
_PROBE_SECONDS = 30.0
_COMMIT = re.compile(r"^version: .*?(?:\(|commit )([0-9a-f]{7,40})\)", re.MULTILINE)
_DEVICE = re.compile(r"^\s+([A-Za-z]+)\d*:", re.MULTILINE)
_RPC_DEVICE = re.compile(r"^\s+RPC\d*\W", re.MULTILINE)


async def find_installed(environ: Mapping[str, str] = os.environ) -> Engine | None:
    """A usable pair in ``MESH_LLAMA_DIR``, on the PATH or from Homebrew.

    A pair found by chance must speak the pinned RPC protocol, or no other member could work with it. A pair
    that ``MESH_LLAMA_DIR`` names is taken as it is; EngineError says why when it does not work at all.
    """
    chosen = environ.get("MESH_LLAMA_DIR")
    if chosen:
        pair = find_pair([chosen])
        if pair is None:
            raise EngineError(
                f"MESH_LLAMA_DIR names {chosen}, where there is no pair of {LLAMA_SERVER} and {RPC_SERVER}",
                "build llama.cpp with -DGGML_RPC=ON, or unset MESH_LLAMA_DIR",
            )
        try:
            return await inspect_pair(*pair, origin="installed")
        except PairError as error:
            raise EngineError(
                f"the engine in {chosen} is not usable: {error.message}", "unset MESH_LLAMA_DIR"
            ) from error
    pair = find_pair([*environ.get("PATH", "").split(os.pathsep), *_HOMEBREW])
    if pair is None:
        return None
    with suppress(PairError):
        engine = await inspect_pair(*pair, origin="installed")
        if engine.rpc == pins.RPC_VERSION:
            return engine
    return None


def find_pair(directories: Iterable[str]) -> tuple[Path, Path] | None:
    """``(llama-server, rpc-server)`` of the first folder that has both: two folders may hold two versions."""
    for directory in directories:
        if not directory:
            continue
        llama = shutil.which(LLAMA_SERVER, path=directory)
        rpc = next(filter(None, (shutil.which(name, path=directory) for name in RPC_SERVER_NAMES)), None)
        if llama and rpc:
            return Path(llama).absolute(), Path(rpc).absolute()
    return None


async def inspect_pair(llama_server: Path, rpc_server: Path, origin: Literal["installed", "built"]) -> Engine:
    """Run both programs against each other, and say what they are. Raises PairError.

    rpc-server has no ``--version``, but prints its protocol's version when it starts. The device that
    llama-server lists through it shows whether llama-server understands that protocol.
    """
    with trio.move_on_after(_PROBE_SECONDS):
        commit = commit_in(await _run(llama_server, "--version"))
        with tempfile.TemporaryDirectory() as directory:
            rpc, listed = await _probe(llama_server, rpc_server, Path(directory))
        if _RPC_DEVICE.search(listed) is None:
            raise PairError(f"{llama_server} does not understand {rpc_server} (RPC {rpc}): {_tail(listed)}")
        return Engine(llama_server, rpc_server, commit, rpc, backend_in(listed), origin)
    raise PairError(f"{llama_server} and {rpc_server} gave no answer within {_PROBE_SECONDS:.0f} s")


def commit_in(version_output: str) -> str:
    """The commit that ``llama-server --version`` prints, at most 9 digits. Raises PairError."""
    found = _COMMIT.search(version_output)
    if found is None:
        raise PairError(f"llama-server does not tell its version: {_tail(version_output)}")
    return found.group(1)[:9]


def backend_in(device_list: str) -> str:
    """The name of the backend with which ``llama-server --list-devices`` computes."""
    kinds = (kind_of_device(device) for device in _DEVICE.findall(device_list))
    return next(filter(None, kinds), CPU).name


async def _probe(llama_server: Path, rpc_server: Path, directory: Path) -> tuple[str, str]:
    port = free_port()
    lines: list[str] = []
    served = trio.Event()
    listed: str | None = None

    def on_line(line: str) -> None:
        lines.append(line)
        if ACCEPTED in line:
            served.set()

    process = Process([str(rpc_server), "-H", "127.0.0.1", "-p", str(port)], directory=directory)
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            await process.run(on_line, grace=0.5)
            nursery.cancel_scope.cancel()

        nursery.start_soon(run)
        await wait_for_listener(partial(trio.open_tcp_stream, "127.0.0.1", port))
        await served.wait()
        listed = await _run(llama_server, "--rpc", f"127.0.0.1:{port}", "--list-devices")
        nursery.cancel_scope.cancel()
    version = greeting_version(lines)
    if version is None or listed is None:
        raise PairError(f"{rpc_server} does not serve: {_tail(chr(10).join(lines))}")
    return version, listed


async def _run(program: Path, *arguments: str) -> str:
    lines: list[str] = []
    await Process([str(program), *arguments]).run(lines.append, grace=0.5)
    return "\n".join(lines)


def _tail(text: str) -> str:
    return " / ".join(line.strip() for line in text.splitlines()[-3:]) or "no output"
