"""Becomes a program that has as little as the machine allows: `confinement` says what.

An interpreter executes this script (``python -I -S launcher.py CONFINEMENT program arguments...``; the first
is JSON). It takes away from itself what the program does not need, and becomes the program; a request to die
with a parent survives that. An ordinary user can do all of it. Layers that a kernel lacks are left out, and
`missing` names them. A layer that exists and fails ends the program before it starts.

Each start of an engine waits for what this imports: `dataclasses`, `typing`, `pathlib`, `shutil` and
`platform` would take longer than all that it does.
"""

import ctypes
import json
import os
import resource
import signal
import socket
import struct
import sys
from collections.abc import Iterable, Mapping, Sequence
from glob import glob
from types import SimpleNamespace

if __name__ == "__main__":  # a bare interpreter knows no packages
    sys.path.insert(0, os.path.realpath(f"{__file__}/../../../.."))

from mesh.engine.sandbox import broker, landlock, namespaces, seccomp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mesh.engine.sandbox.confinement import Confinement

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS, _PR_CAPBSET_DROP = 1, 38, 24
_HIGHEST_CAPABILITY = 63
_CAPABILITIES_VERSION = 0x20080522
_OPEN_FILES = 1024
_OWN_THREADS, _ALL_THREADS = 4096, 16384
"""Of a user of its own, or of its namespace; else of all programs of the user together."""
_TIMERS = 1024

LIBRARY_VARIABLES = ("LD_LIBRARY_PATH", "CUDA_PATH", "CUDA_HOME", "ROCM_PATH", "HIP_PATH", "VULKAN_SDK")
_LIBRARIES = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/nix/store", "/gnu/store")
_VENDORS = ("/opt/rocm*", "/opt/cuda*", "/opt/intel*", "/opt/amdgpu*")
_HOMEBREW = tuple(
    f"{place}/{name}" for place in ("/opt/homebrew", "/usr/local") for name in ("Cellar", "lib", "opt")
)
_SETTINGS = (
    "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "ld.so.preload", "localtime", "nsswitch.conf", "passwd",
    "ssl/openssl.cnf", "vulkan", "OpenCL", "glvnd", "drirc", "nvidia",
)  # fmt: skip
"""What programs read below /etc: no key, no password."""
_KERNEL = (
    "/sys/bus", "/sys/class", "/sys/dev", "/sys/devices", "/sys/module", "/sys/kernel/mm",
    "/sys/firmware/devicetree", "/run/opengl-driver", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat",
    "/proc/version", "/proc/devices", "/proc/filesystems", "/proc/modules", "/proc/sys/kernel",
    "/proc/sys/vm", "/proc/sys/dev", "/proc/driver",
)  # fmt: skip
"""What they read of the machine. The rest of /sys is traces, crash dumps, control groups."""
_OWN_PROCESS = "/proc/self"
_NULLS = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
DEVICES = ("/dev/nvidia*", "/dev/nvhost*", "/dev/nvmap", "/dev/dri", "/dev/kfd", "/dev/mali*", "/dev/dxg")
_SHARED_MEMORY = "/dev/shm"
_SHARED_BYTES = 1 << 30


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
    beside = os.path.dirname(os.path.realpath(program))
    above = os.path.dirname(beside)
    folders = [*_LIBRARIES, beside, os.path.join(above, "lib"), os.path.join(above, "lib64")]
    # A program that is a script needs its interpreter: this one's is at hand.
    folders += [sys.base_prefix, os.path.dirname(os.path.dirname(sys.executable))]
    for name in LIBRARY_VARIABLES:
        folders += [folder for folder in variables.get(name, "").split(os.pathsep) if os.path.isabs(folder)]
    return list(dict.fromkeys(folders))


def become_confined(given: "Confinement", program: str) -> None:
    """Take away from this process whatever the program does not need. Raises OSError."""
    parent = os.getppid()
    _limit_resources(given)
    if sys.platform != "linux":
        return
    _join_control_group(given)
    line = _enter_cell(given) if given.cell else None
    changes_user = given.user is not None and _show_files(given, program)
    _drop_bounding_set()
    if given.user is not None and changes_user:
        namespaces.become(given.user, given.groups)
    _drop_capabilities()
    if landlock.abi():
        landlock.restrict(_paths(given, program), given.listens, given.connects)
    if line is not None:
        _leave_broker(line)
    # The kernel forgot the wish to die with the parent when the user changed.
    _die_with(parent)
    if seccomp.available():
        seccomp.install(connects=bool(given.connects), device=given.device)


def _limit_resources(given: "Confinement") -> None:
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    if sys.platform == "linux":
        _limit(resource.RLIMIT_SIGPENDING, _TIMERS)
        _limit(resource.RLIMIT_RTPRIO, 0)  # some users may take a processor from all others
        _limit(resource.RLIMIT_NICE, 0)
    if not given.device:  # drivers size shared memory by the same call
        _limit(resource.RLIMIT_FSIZE, given.file_bytes)
    if given.data_bytes is not None:
        _limit(resource.RLIMIT_DATA, given.data_bytes)
    alone = given.cell or given.user is not None
    _limit(resource.RLIMIT_NPROC, _OWN_THREADS if alone else _ALL_THREADS)


def _join_control_group(given: "Confinement") -> None:
    if given.control_group is not None:
        with open(given.control_group, "w", encoding="ascii") as processes:
            processes.write(str(os.getpid()))


def _enter_cell(given: "Confinement") -> socket.socket | None:
    """Leave the machine's network, and listen for the starter; returns the line to it."""
    namespaces.enter()
    if given.device:
        namespaces.replace_shared_memory(_SHARED_BYTES)
    if given.line is None:
        return None
    line = socket.socket(fileno=given.line)
    broker.hand_out_listeners(line, given.hears)
    return line


def _show_files(given: "Confinement", program: str) -> bool:
    """Show the other user its files; where that is impossible it stays root, without capabilities."""
    assert given.user is not None
    own = [folder for folder in readable(program, os.environ) if folder not in _LIBRARIES]
    if namespaces.show(given.user, (*own, *given.reads), given.writes):
        return True
    print("it keeps its user: a file system cannot map owners", file=sys.stderr)
    return False


def _leave_broker(line: socket.socket) -> None:
    """Leave a child behind that makes sockets in this cell, and ends with this process."""
    program = os.getpid()
    if os.fork() == 0:
        _die_with(program)
        broker.keep_alone(line)
        if seccomp.available():
            seccomp.install()
        broker.serve(line)
        os._exit(0)
    line.close()


def _die_with(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # it died before the request was made
        os._exit(126)


def _paths(given: "Confinement", program: str) -> Iterable[tuple[str, int]]:
    for folder in readable(program, os.environ):
        yield folder, landlock.READ | landlock.EXECUTE
    for name in _SETTINGS:
        yield f"/etc/{name}", landlock.READ
    for path in (*_KERNEL, *given.reads):
        yield path, landlock.READ
    yield os.path.realpath(_OWN_PROCESS), landlock.READ
    for path in given.writes:
        yield path, landlock.OVERWRITE
    for node in _NULLS:
        yield node, landlock.DEVICE
    if given.device:
        for pattern in _VENDORS:
            for folder in glob(pattern):
                yield folder, landlock.READ | landlock.EXECUTE
        for pattern in DEVICES:
            for node in glob(pattern):
                yield node, landlock.DEVICE
        yield _SHARED_MEMORY, landlock.SCRATCH


def _on_macos(confinement: str, program: str, argv: Sequence[str]) -> list[str]:
    """The command that runs it under sandbox-exec, which compares real paths."""
    from dataclasses import replace

    from mesh.engine.sandbox import seatbelt
    from mesh.engine.sandbox.confinement import Confinement

    given = Confinement.parse(confinement)
    folders = [folder for folder in readable(program, os.environ) if folder not in _LIBRARIES]
    real = replace(
        given,
        reads=tuple(map(os.path.realpath, given.reads)),
        writes=tuple(map(os.path.realpath, given.writes)),
    )
    folders = list(dict.fromkeys(map(os.path.realpath, (*folders, *_HOMEBREW))))
    return seatbelt.command(real, os.path.realpath(program), folders, argv)


def _limit(which: int, most: int) -> None:
    _, hard = resource.getrlimit(which)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(which, (most, most))


def _drop_bounding_set() -> None:
    """Root keeps its id without any capability; another user has none to give up."""
    library = ctypes.CDLL(None, use_errno=True)
    for capability in range(_HIGHEST_CAPABILITY + 1):
        library.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0)


def _drop_capabilities() -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")
    header, none = struct.pack("=Ii", _CAPABILITIES_VERSION, 0), bytes(24)
    if library.capset(header, none) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def _read(confinement: str) -> "Confinement":
    """What `Confinement.parse` reads, without what that imports: all has been said."""
    given: Confinement = SimpleNamespace(**json.loads(confinement))  # type: ignore[assignment]
    return given


def _found(program: str) -> str:
    """Its path, looked for as a shell does."""
    folders = [] if os.sep in program else os.get_exec_path()
    paths = [os.path.join(folder, program) for folder in folders]
    return next((path for path in paths if os.access(path, os.X_OK)), program)


def main(arguments: list[str]) -> int:
    """Become the program; returns a status where that is impossible."""
    given, argv = _read(arguments[0]), arguments[1:]
    program = _found(argv[0])
    executed = os.path.realpath(program)  # a link may lie in a folder that its other user does not see
    if given.seatbelt:
        argv = _on_macos(arguments[0], program, argv)
        executed = argv[0]
    try:
        become_confined(given, program)
    except OSError as error:
        print(f"{program}: the sandbox failed: {error}", file=sys.stderr)
        return 126
    try:
        os.execv(executed, argv)
    except OSError as error:
        print(f"{executed}: {error.strerror}", file=sys.stderr)
        return 127


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
