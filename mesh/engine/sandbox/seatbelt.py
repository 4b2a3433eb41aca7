"""The command that confines a program on macOS: sandbox-exec, with a profile of what remains. Pure.

The profile holds no path: sandbox-exec is handed each as a parameter, so none can say more than itself. Paths
are real ones, as the kernel compares them. The profile follows those by which browsers confine what computes
on Metal. **Nobody has run it on a Mac yet.**
"""

from collections.abc import Mapping, Sequence

from mesh.engine.sandbox.confinement import Confinement

SANDBOX_EXEC = "/usr/bin/sandbox-exec"

# Apple's own baseline lets every program start: system libraries, the loader, settings, logs, sysctls.
_BASELINE = """\
(version 1)
(deny default)
(import "system.sb")
(allow process-exec (literal (param "PROGRAM")))
(allow process-info* (target self))
(allow signal (target self))
(allow file-read-metadata)
"""
_METAL = """\
(allow mach-lookup (xpc-service-name "com.apple.MTLCompilerService"))
(allow iokit-open
  (iokit-connection "IOAccelerator")
  (iokit-registry-entry-class "AGXDeviceUserClient")
  (iokit-registry-entry-class "IOSurfaceRootUserClient"))
"""
_SOCKET = """\
(allow system-socket (socket-domain AF_UNIX))
(allow file-read* file-write* (subpath (param "SOCKET_FOLDER")))
(allow network-bind network-inbound (local unix-socket (path-literal (param "SOCKET"))))
"""


def profile(given: Confinement, folders: int) -> str:
    """What the program keeps, with so many ``folders`` of programs and libraries."""
    text = _BASELINE
    text += _paths("file-read* file-map-executable", "FOLDER", folders)
    text += _paths("file-read*", "READ", len(given.reads))
    text += _paths("file-read* file-write-data", "WRITE", len(given.writes))
    text += _METAL if given.device else ""
    text += _SOCKET if given.socket is not None else ""
    for port in given.listens:
        text += f'(allow network-bind network-inbound (local ip "localhost:{port:d}"))\n'
    for port in given.connects:
        text += f'(allow network-outbound (remote ip "localhost:{port:d}"))\n'
    return text


def parameters(given: Confinement, program: str, folders: Sequence[str]) -> Mapping[str, str]:
    """The paths that the profile names."""
    named = {"PROGRAM": program}
    for kind, paths in (("FOLDER", folders), ("READ", given.reads), ("WRITE", given.writes)):
        named |= {f"{kind}_{index}": path for index, path in enumerate(paths)}
    if given.socket is not None:
        named |= {"SOCKET": given.socket, "SOCKET_FOLDER": given.socket.rpartition("/")[0]}
    return named


def command(given: Confinement, program: str, folders: Sequence[str], argv: Sequence[str]) -> list[str]:
    """The command that runs ``program`` with the arguments of ``argv``, which may map ``folders``."""
    named = parameters(given, program, folders)
    options = [part for name, path in named.items() for part in ("-D", f"{name}={path}")]
    return [SANDBOX_EXEC, "-p", profile(given, len(folders)), *options, program, *argv[1:]]


def _paths(operations: str, kind: str, count: int) -> str:
    named = "".join(f'\n  (subpath (param "{kind}_{index}"))' for index in range(count))
    return f"(allow {operations}{named})\n" if count else ""  # without a path it would allow all
