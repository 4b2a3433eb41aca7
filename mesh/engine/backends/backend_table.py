"""All backends, in order of preference."""

from mesh.engine.backends.backend_kind import BackendKind
from mesh.engine.backends.cpu import CPU
from mesh.engine.backends.cuda import CUDA
from mesh.engine.backends.metal import METAL
from mesh.engine.backends.rocm import ROCM
from mesh.engine.backends.vulkan import VULKAN

BACKENDS: tuple[BackendKind, ...] = (
    CUDA,
    ROCM,
    VULKAN,
    METAL,
    CPU,  # always found, so the last
)


def kinds_on(system: str) -> list[BackendKind]:
    """The kinds to look for on a system, ``Linux`` or ``Darwin``."""
    return [kind for kind in BACKENDS if (kind.on_darwin if system == "Darwin" else kind.elsewhere)]


def kind_named(name: str) -> BackendKind:
    """The kind of that name; the CPU for an unknown one, which a member of another version may publish."""
    return next((kind for kind in BACKENDS if kind.name == name), CPU)


def kind_of_device(device: str) -> BackendKind | None:
    """The kind whose device llama.cpp calls so, without its number; None where there is none."""
    return next((kind for kind in BACKENDS if device in kind.devices), None)
