"""``python -m tests.oracle.build``: programs of the pinned llama.cpp that only tests ask, built once.

About eight minutes on two cores; kept in the user's cache beside the engines. It prints the folder.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import trio

from mesh.engine.install import pins
from mesh.engine.install.archives import unpack_tar
from mesh.engine.install.cache import cache_dir, processor_identity
from mesh.engine.install.compile import compile_targets, configure
from mesh.engine.install.llama_source import fetch_sdist, is_needed
from mesh.engine.install.locks import exclusive
from mesh.engine.install.toolchain import Toolchain, find_compiler, zig_toolchain
from mesh.wire.errors import MeshError
from tests.leader.model.gguf_bytes import read_gguf

ARCHITECTURES = "test-llama-archs"
FIT_PARAMS = "llama-fit-params"
GGUF_SPLIT = "llama-gguf-split"
_TARGETS = (ARCHITECTURES, FIT_PARAMS, GGUF_SPLIT)
_FLAGS = (*pins.BUILD_FLAGS, "-DLLAMA_BUILD_TESTS=ON")
_MODELS_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Oracle:
    """The folder of the built programs."""

    folder: Path

    @property
    def fit_params(self) -> Path:
        """Loads a header as the engine does, with no memory, and says what each device would hold."""
        return self.folder / FIT_PARAMS

    @property
    def gguf_split(self) -> Path:
        """Splits a file into parts and merges parts into a file."""
        return self.folder / GGUF_SPLIT

    @property
    def models(self) -> Path:
        """Tiny files of every architecture that the engine's own test can write."""
        return self.folder / "models"


async def ensure_oracle(cache: Path) -> Oracle:
    """The programs and the tiny files: those in ``cache``, or made now. Raises MeshError."""
    with tempfile.TemporaryDirectory() as work:
        toolchain = await find_compiler(Path(work))
    if not isinstance(toolchain, Toolchain):
        toolchain = await zig_toolchain(cache, lambda done, total: None)
    identity = repr((_FLAGS, _TARGETS, processor_identity(), toolchain.identity))
    digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
    oracle = Oracle(cache / "oracle" / f"{pins.SDIST_VERSION}-{digest}")
    async with exclusive(oracle.folder.with_name(f"{oracle.folder.name}.lock"), lambda holder: None):
        if not oracle.models.exists():
            await _build(oracle, cache, toolchain)
            await trio.to_thread.run_sync(_write_models, oracle)
    return oracle


async def _build(oracle: Oracle, cache: Path, toolchain: Toolchain) -> None:
    if all((oracle.folder / target).exists() for target in _TARGETS):
        return
    source, build, log = (oracle.folder / name for name in ("source", "build", "build.log"))
    if not source.exists():
        async with exclusive(cache / "downloads" / ".lock", lambda holder: None):
            sdist = await fetch_sdist(cache, lambda done, total: None)
        await trio.to_thread.run_sync(unpack_tar, sdist, pins.SOURCE_PREFIX, source, _is_read)
    await configure(source, build, _FLAGS, toolchain, log)
    await compile_targets(build, _TARGETS, os.cpu_count() or 1, toolchain, log, _show)
    for target in _TARGETS:
        (build / "bin" / target).replace(oracle.folder / target)
    for leftover in (source, build):
        await trio.to_thread.run_sync(shutil.rmtree, leftover)


def _is_read(path: PurePosixPath) -> bool:
    """Whether a build with the engine's tests reads this file."""
    return path.parts[0] == "tests" or is_needed(path)


def _show(done: int, total: int) -> None:
    print(f"\rcompiling {done} of {total}", end="", file=sys.stderr, flush=True)


def _write_models(oracle: Oracle) -> None:
    """Let the engine's test write its models. Of their gigabyte only the headers are kept, and holes."""
    partial = oracle.folder / "models.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    argv = [str(oracle.folder / ARCHITECTURES), "-o", str(partial)]
    done = subprocess.run(argv, capture_output=True, timeout=_MODELS_SECONDS, check=False, text=True)
    if not any(partial.glob("*.gguf")):
        raise MeshError(f"the engine's test wrote no models: {done.stderr[-300:]}")
    for path in partial.glob("*.gguf"):
        read_gguf(path).write(path)
    partial.rename(oracle.models)


def main() -> int:
    """Build, and print the folder."""
    try:
        oracle = trio.run(ensure_oracle, cache_dir())
    except MeshError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    print(f"\n{oracle.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
