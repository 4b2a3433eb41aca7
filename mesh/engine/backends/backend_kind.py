"""What the program must know of one kind of backend."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from mesh.engine.types import Backend


class Probes(Protocol):
    """How a backend's module looks at a machine."""

    environ: Mapping[str, str]

    def system(self) -> str:
        """``Linux`` or ``Darwin``."""

    def machine(self) -> str:
        """The processor's architecture."""

    def find(self, name: str, *places: str) -> str | None:
        """Full path of a program on the PATH or in ``places``."""

    def exists(self, path: str) -> bool:
        """Whether a file is there."""

    def read(self, pattern: str) -> list[str]:
        """The texts of the files that match a pattern."""

    def run(self, *argv: str) -> str | None:
        """The output of a program; None when it fails or takes more than 10 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendKind:
    """One kind: how to find it on a machine, to build for it, and what to expect of it."""

    name: str
    """The name that members publish and that ``MESH_BACKEND`` takes; at most 16 characters."""
    detect: Callable[[Probes], Backend | str]
    """The backend of this machine with the flags to build for it; else why there is none, in words.

    It is chosen when the machine has a device *and* what a build for it takes. The reason names a device that
    must lie idle for want of a compiler, and what would help.
    """
    on_darwin: bool = False
    elsewhere: bool = True
    """Whether to look for it on systems other than Darwin."""
    devices: tuple[str, ...] = ()
    """llama.cpp's names of its devices, letters without the number, today's first; none: the host."""
    bandwidth: float
    """Memory bandwidth in bytes a second to assume until something was measured.

    Decoding reads every weight once a token, so a layer takes its bytes over this. It is deliberately at the
    low end of today's machines.
    """
    disk_needed: int
    """Bytes of disk that building takes."""
    own_compiler: bool = False
    """Whether its toolkit works with the machine's own C++ compiler alone."""

    @property
    def first_device(self) -> str:
        """llama.cpp's name of the first device, as ``CUDA0``; empty where the host computes."""
        return f"{self.devices[0]}0" if self.devices else ""
