"""What a confined program is left with, and the command that starts it so. Pure."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mesh.engine.sandbox.launcher import LIBRARY_VARIABLES

_LAUNCHER = Path(__file__).with_name("launcher.py")

# What a computing program may know of its surroundings; any other variable may hold a secret.
_PASSED = ("PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR", *LIBRARY_VARIABLES)
_PASSED_BEGINNINGS = (
    "LC_", "OMP_", "GOMP_", "GGML_", "CUDA_", "NVIDIA_", "HIP_", "HSA_", "ROCR_", "AMD_", "VK_", "MESA_",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Confinement:
    """What a program keeps; all else is taken away as far as the kernel can.

    ``reads`` and ``writes`` are absolute paths: files or folders that it reads, and files or folders whose
    files it overwrites (it makes none), each of at most ``file_bytes``.
    """

    device: bool = False
    """Whether it drives an accelerator, whose drivers need more."""
    listens: tuple[int, ...] = ()
    """TCP ports that it may listen on, of its own loopback where it has one."""
    connects: tuple[int, ...] = ()
    """TCP ports that it may connect to."""
    socket: str | None = None
    """The path of the unix socket that it listens on, alone in its folder; macOS."""
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    file_bytes: int = 0
    data_bytes: int | None = None
    """Bytes of memory of its own that it may have; None where something else bounds it."""
    control_group: str | None = None
    """The file that a process is written to in order to be bounded by a control group."""
    user: int | None = None
    """A user of its own, where root starts it."""
    groups: tuple[int, ...] = ()
    """That user's groups: those of the accelerator's devices."""
    cell: bool = False
    """Whether it gets a network namespace of its own."""
    hears: tuple[int, ...] = ()
    """TCP ports of that cell's loopback on which the starter listens."""
    line: int | None = None
    """The descriptor of a socket through which the starter is handed the cell's sockets."""
    seatbelt: bool = False
    """Whether macOS's sandbox-exec confines it."""

    def command(self, argv: Sequence[str]) -> list[str]:
        """The command that becomes ``argv``, confined."""
        return [sys.executable, "-I", "-S", str(_LAUNCHER), json.dumps(asdict(self)), *argv]

    @staticmethod
    def parse(text: str) -> "Confinement":
        """The same from the command's part before ``argv``."""
        given: dict[str, Any] = json.loads(text)
        kept: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in given.items()
        }
        return Confinement(**kept)


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """The variables of ``inherited`` that such a program gets."""
    return {
        name: value
        for name, value in inherited.items()
        if name in _PASSED or name.startswith(_PASSED_BEGINNINGS)
    }
