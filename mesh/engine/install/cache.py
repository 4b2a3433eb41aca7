"""Where engines are kept: outside any source tree, by version, backend, flags and processor.

::

    <cache>/downloads/                       checked source distributions and wheels, partial downloads
    <cache>/zig/<version>/                   the compiler, where the machine has none
    <cache>/engine/<version>-<backend>-<hash>/
        llama-server, ggml-rpc-server        complete once engine.json exists
        engine.json                          written last and atomically: the engine is usable
        source/, build/                      during the build
"""

import hashlib
import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import platformdirs

from mesh.engine.install import pins
from mesh.engine.types import Engine

LLAMA_SERVER = "llama-server"
RPC_SERVER = "ggml-rpc-server"
_MARKER = "engine.json"


def cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """The cache of this user: ``MESH_CACHE_DIR``, else the platform's place for caches."""
    chosen = environ.get("MESH_CACHE_DIR")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("frankenstein-mesh"))


def processor_identity(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """What code built for "this processor" depends on: several machines may share a home and its cache."""
    parts = [platform.system(), platform.machine()]
    try:
        text = cpuinfo.read_text(errors="replace")
    except OSError:
        text = ""
    found = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", text, re.MULTILINE)
    if found:
        parts.append(" ".join(sorted(found.group(1).split())))
    elif platform.system() == "Darwin":
        argv = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        parts.append(
            subprocess.run(argv, capture_output=True, text=True, timeout=5, check=False).stdout.strip()
        )
    return "|".join(parts)


def settings_hash(flags: Sequence[str], processor: str) -> str:
    """The part of an engine's identity that does not depend on the compiler."""
    return hashlib.sha256(json.dumps([pins.BUILD_FLAGS, list(flags), processor]).encode()).hexdigest()


def engine_dir(cache: Path, kind: str, settings: str, compiler: str) -> Path:
    """The folder of one engine."""
    digest = hashlib.sha256(f"{settings}|{compiler}".encode()).hexdigest()[:12]
    return cache / "engine" / f"{pins.SDIST_VERSION}-{kind}-{digest}"


def write_marker(directory: Path, engine: Engine, settings: str, compiler: str) -> None:
    """Declare the engine in ``directory`` finished: from now on `read_marker` finds it."""
    content = {
        "commit": engine.commit,
        "rpc": engine.rpc,
        "backend": engine.backend,
        "settings": settings,
        "compiler": compiler,
        "sizes": {name: (directory / name).stat().st_size for name in (LLAMA_SERVER, RPC_SERVER)},
    }
    write_atomically(directory / _MARKER, json.dumps(content, indent=1))


def read_marker(directory: Path, settings: str) -> Engine | None:
    """The finished engine in ``directory``, if it has these settings and its files are whole; else None."""
    try:
        content: Any = json.loads((directory / _MARKER).read_text())
        if content["settings"] != settings:
            return None
        for name, size in content["sizes"].items():
            path = directory / name
            if path.stat().st_size != size or not os.access(path, os.X_OK):
                return None
        return Engine(
            directory / LLAMA_SERVER,
            directory / RPC_SERVER,
            commit=str(content["commit"]),
            rpc=str(content["rpc"]),
            backend=str(content["backend"]),
            origin="built",
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def find_built(cache: Path, kind: str, flags: Sequence[str]) -> Engine | None:
    """A finished engine of these settings, whatever compiler built it."""
    settings = settings_hash(flags, processor_identity())
    for directory in sorted((cache / "engine").glob(f"{pins.SDIST_VERSION}-{kind}-*")):
        engine = read_marker(directory, settings)
        if engine is not None:
            return engine
    return None


def write_atomically(path: Path, text: str) -> None:
    """Replace ``path`` whole, or leave it unchanged."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with partial.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
