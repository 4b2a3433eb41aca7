"""The values that the engine's parts pass to each other and to the rest of the program."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Backend:
    """What a machine computes with, and why it was chosen."""

    kind: str
    """Its name in `mesh.engine.backends.backend_table`."""
    name: str
    """The accelerator as its maker calls it, e.g. ``NVIDIA H200`` or the processor's model name."""
    reason: str
    """One line for people: what was found and what was not."""
    flags: tuple[str, ...] = ()
    """CMake flags that build llama.cpp for it."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A pair of llama.cpp binaries that belong together."""

    llama_server: Path
    rpc_server: Path
    commit: str
    rpc: str
    """Version of the RPC wire protocol, e.g. ``7.0.0``."""
    backend: str
    origin: Literal["installed", "built"]


@dataclass(frozen=True, slots=True)
class Progress:
    """A report on the way to an engine."""

    stage: str
    """``waiting``, ``compiler download unpack configure compile check ready`` in this order."""
    fraction: float
    """Of the whole way, 0..1."""
    eta_seconds: float | None
    text: str
    """One line for people."""


Report = Callable[[Progress], None]
