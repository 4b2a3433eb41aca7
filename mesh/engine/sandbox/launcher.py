"""A program runs with as little as the machine allows: its own libraries, its devices, and one TCP port.

An interpreter executes this script (``python -I -S launcher.py --port=N [--device] -- program
arguments...``). It takes away from itself what the program does not need, and becomes the program; a request
to die with a parent survives that. Nothing here needs root. Layers that a kernel lacks are left out, and
``missing`` names them. A layer that exists and fails ends the program before it starts.
"""

import ctypes
import os
import resource
import sys
from collections.abc import Iterable, Mapping, Sequence
from glob import glob
from pathlib import Path

if __name__ == "__main__":  # a bare interpreter knows no packages
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from mesh.engine.sandbox import landlock, seccomp

_PR_SET_NO_NEW_PRIVS, _PR_CAPBSET_DROP = 38, 24
_HIGHEST_CAPABILITY = 63
_OPEN_FILES = 1024

_LIBRARIES = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/etc", "/opt", "/nix/store", "/gnu/store")
_KERNEL = ("/proc", "/sys", "/run/opengl-driver")
_NULLS = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_DEVICES = (
    "/dev/nvidia*",
    "/dev/nvhost*",
    "/dev/nvmap",
    "/dev/dri",
    "/dev/kfd",
    "/dev/mali*",
    "/dev/dxg",
    "/dev/shm",
)
_LIBRARY_VARIABLES = ("LD_LIBRARY_PATH", "CUDA_PATH", "CUDA_HOME", "ROCM_PATH", "HIP_PATH", "VULKAN_SDK")

# What a computing program may know of its surroundings; any other variable may hold a secret.
_PASSED = ("PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR", *_LIBRARY_VARIABLES)
_PASSED_BEGINNINGS = (
    "LC_", "OMP_", "GOMP_", "GGML_", "CUDA_", "NVIDIA_", "HIP_", "HSA_", "ROCR_", "AMD_", "VK_", "MESA_",
)  # fmt: skip


def sandboxed(argv: Sequence[str], port: int, *, device: bool) -> list[str]:
    """The command that runs ``argv`` with no network but TCP ``port``; ``device``: it drives an accelerator.

    On systems without a sandbox only the limits apply.
    """
    flags = [f"--port={port}", *(["--device"] if device else [])]
    return [sys.executable, "-I", "-S", str(Path(__file__)), *flags, "--", *argv]


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """The variables of ``inherited`` that such a program gets."""
    return {
        name: value
        for name, value in inherited.items()
        if name in _PASSED or name.startswith(_PASSED_BEGINNINGS)
    }


def missing() -> list[str]:
    """The layers that this machine cannot give, each with what it would take away."""
    if sys.platform != "linux":
        return [f"a sandbox ({sys.platform} has none that this program uses): only limits apply"]
    version = landlock.abi()
    lacks = []
    if not version:
        lacks.append("Landlock (Linux 5.13, enabled at boot): it could write files")
    if version < landlock.NETWORK_SINCE:
        lacks.append("Landlock for ports (Linux 6.7): it could listen on other ports")
    if not seccomp.available():
        lacks.append("seccomp: it could send datagrams, and with an old Landlock connect")
        if version < landlock.SCOPES_SINCE:
            lacks.append("Landlock for signals (Linux 6.12): it could end other programs")
    return lacks


def is_open() -> bool:
    """Whether a Linux machine lacks a layer that every current kernel could give."""
    return sys.platform == "linux" and not (landlock.abi() and seccomp.available())


def readable(program: str, variables: Mapping[str, str]) -> list[str]:
    """Folders whose files the program may read and execute."""
    beside = Path(program).resolve().parent
    folders = [*_LIBRARIES, str(beside), str(beside.parent / "lib"), str(beside.parent / "lib64")]
    # A program that is a script needs its interpreter: this one's is at hand.
    folders += [sys.base_prefix, str(Path(sys.executable).parents[1])]
    for name in _LIBRARY_VARIABLES:
        folders += [folder for folder in variables.get(name, "").split(os.pathsep) if os.path.isabs(folder)]
    return list(dict.fromkeys(folders))


def confine(program: str, port: int, device: bool) -> None:
    """Take away from this process whatever the program does not need. Raises OSError."""
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    if not device:  # drivers size shared memory by the same call
        _limit(resource.RLIMIT_FSIZE, 0)
    if sys.platform != "linux":
        return
    _drop_privileges()
    if landlock.abi():
        landlock.restrict(_paths(program, device), [port])
    if seccomp.available():
        seccomp.install()


def _paths(program: str, device: bool) -> Iterable[tuple[str, int]]:
    for folder in readable(program, os.environ):
        yield folder, landlock.READ | landlock.EXECUTE
    for folder in _KERNEL:
        yield folder, landlock.READ
    for node in _NULLS:
        yield node, landlock.DEVICE
    if device:
        for pattern in _DEVICES:
            for node in glob(pattern):
                yield node, landlock.SCRATCH if node == "/dev/shm" else landlock.DEVICE


def _limit(which: int, most: int) -> None:
    _, hard = resource.getrlimit(which)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(which, (most, most))


def _drop_privileges() -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")
    # Root keeps its id without any capability; another user has none to give up.
    for capability in range(_HIGHEST_CAPABILITY + 1):
        library.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0)


def main(arguments: list[str]) -> int:
    """Become the program; returns a status where that is impossible."""
    end = arguments.index("--")
    argv = arguments[end + 1 :]
    port = next(int(one.removeprefix("--port=")) for one in arguments[:end] if one.startswith("--port="))
    try:
        confine(argv[0], port, "--device" in arguments[:end])
    except OSError as error:
        print(f"{argv[0]}: the sandbox failed: {error}", file=sys.stderr)
        return 126
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        print(f"{argv[0]}: {error.strerror}", file=sys.stderr)
        return 127


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
