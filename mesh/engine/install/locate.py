"""Finds an installed pair of llama.cpp programs, and proves that it works as one engine."""

import os
import re
import shutil
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Literal

import trio

from mesh.engine.backends.backend_table import kind_of_device
from mesh.engine.backends.cpu import CPU
from mesh.engine.engine_errors import EngineError, PairError
from mesh.engine.install import pins
from mesh.engine.install.cache import LLAMA_SERVER, RPC_SERVER
from mesh.engine.process.child import Process
from mesh.engine.process.reach import Reach, reach
from mesh.engine.process.rpc_port import ACCEPTED, greeting_version, wait_for_listener
from mesh.engine.sandbox.confinement import Confinement, environment
from mesh.engine.sandbox.isolation import isolation
from mesh.engine.types import Engine

__all__ = ["Engine", "find_installed", "inspect_pair"]

RPC_SERVER_NAMES = (RPC_SERVER, "rpc-server")
_HOMEBREW = ("/opt/homebrew/bin", "/usr/local/bin", "/home/linuxbrew/.linuxbrew/bin")
_PROBE_SECONDS = 30.0
_RPC_SERVER, _LLAMA_SERVER = 0, 1  # their numbers among a sidecar's engines
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
    """Run both programs against each other, confined, and say what they are. Raises PairError.

    rpc-server has no ``--version``, but prints its protocol's version when it starts. The device that
    llama-server lists through it shows whether llama-server understands that protocol.
    """
    said = ""

    async def ask_version() -> None:
        nonlocal said
        with closing(_reach(_LLAMA_SERVER)) as made:
            said = await _output(_start(made, llama_server, "--version"))

    with trio.move_on_after(_PROBE_SECONDS):
        await trio.to_thread.run_sync(isolation, abandon_on_cancel=True)  # which remembers what it found
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask_version)
            served, listed = await _probe(llama_server, rpc_server)
        commit, rpc = commit_in(said), greeting_version(served)
        if rpc is None or listed is None:
            raise PairError(f"{rpc_server} does not serve: {_tail(chr(10).join(served))}")
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


async def _probe(llama_server: Path, rpc_server: Path) -> tuple[list[str], str | None]:
    """What rpc-server says; and llama-server, of the devices that it sees with it, unless rpc-server ends."""
    lines: list[str] = []
    served = trio.Event()
    listed: str | None = None

    def on_line(line: str) -> None:
        lines.append(line)
        if ACCEPTED in line:
            served.set()

    with closing(_reach(_RPC_SERVER)) as rpc, closing(_reach(_LLAMA_SERVER, 1)) as llama:
        async with trio.open_nursery() as nursery:

            async def serve() -> None:
                await _start(rpc, rpc_server, "-H", rpc.host, "-p", str(rpc.port)).run(on_line, grace=0.5)
                nursery.cancel_scope.cancel()

            async def ask() -> None:
                nonlocal listed
                listed = await _output(
                    _start(llama, llama_server, "--rpc", *llama.endpoints, "--list-devices")
                )
                await served.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(serve)
            nursery.start_soon(ask)
            with suppress(OSError):  # it ends at once, and its output says why
                await rpc.listeners()
            await wait_for_listener(rpc.connect)
            await served.wait()
            with suppress(OSError):
                for listener in await llama.listeners():
                    nursery.start_soon(_carry, listener, rpc)
    return lines, listed


def _reach(engine: int, listeners: int = 0) -> Reach:
    """It may use an accelerator: which one there is shall be seen."""
    machine = isolation()
    return reach(machine.applied(Confinement(device=True), engine), machine.cells, listeners)


def _start(made: Reach, program: Path, *arguments: str) -> Process:
    # A confined program may see the folder that it lies in, and no other that has a link to it.
    command = made.confinement.command([str(program.resolve()), *arguments])
    process = Process(command, environment=environment(os.environ), descriptors=made.descriptors)
    made.started(process.pid)
    return process


async def _output(process: Process) -> str:
    lines: list[str] = []
    await process.run(lines.append, grace=0.5)
    return "\n".join(lines)


async def _carry(listener: trio.abc.Listener[trio.SocketStream], rpc: Reach) -> None:
    """Lead llama-server to rpc-server: one connection after the other, as rpc-server serves them."""
    async with listener:
        while True:
            async with await listener.accept() as near:
                with suppress(OSError):  # rpc-server has ended
                    await _exchange(near, await rpc.connect())


async def _exchange(near: trio.SocketStream, far: trio.SocketStream) -> None:
    """Carry bytes both ways until either end closes."""
    async with far, trio.open_nursery() as nursery:

        async def copy(source: trio.SocketStream, sink: trio.SocketStream) -> None:
            with suppress(trio.BrokenResourceError):
                async for chunk in source:
                    await sink.send_all(chunk)
            nursery.cancel_scope.cancel()

        nursery.start_soon(copy, near, far)
        nursery.start_soon(copy, far, near)


def _tail(text: str) -> str:
    return " / ".join(line.strip() for line in text.splitlines()[-3:]) or "no output"
