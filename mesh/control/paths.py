"""Where a node keeps its state, its socket and its logs. Imports platformdirs where a default is needed."""

import os
import stat
from collections.abc import Iterator

APPLICATION = "frankenstein-mesh"
LONGEST_SOCKET_PATH = 100
"""Bytes; the kernel's own limit is 108 on Linux and 104 on macOS, the final zero included."""


def state_dir(option: str | None = None) -> str:
    """The state directory as an absolute path without links; `option` is the person's choice, if any."""
    if option:
        return os.path.realpath(os.path.expanduser(option))
    return os.path.realpath(_default_state_dir())


def socket_path(state: str) -> str:
    """Where the sidecar with this state directory listens: no two directories share a socket.

    It is in the state directory, where nobody else can put anything. Where that path is too long for a
    socket, it is in the user's runtime directory, under a hash of the state directory.
    """
    beside = os.path.join(state, "mesh.sock")
    if len(os.fsencode(beside)) <= LONGEST_SOCKET_PATH:
        return beside
    from hashlib import blake2b

    return os.path.join(_runtime_dir(), f"mesh-{blake2b(os.fsencode(state), digest_size=8).hexdigest()}.sock")


def socket_paths(state: str) -> Iterator[str]:
    """Where the sidecar with this state directory may be found, be it of this version or of an older one.

    A runtime directory that another user made in our name holds nothing of ours.
    """
    own = socket_path(state)
    if os.path.dirname(own) == state or is_ours(os.path.dirname(own)):
        yield own
    # Older versions share this one among all homes of a user, until each sidecar is restarted.
    if state == os.path.realpath(_default_state_dir()) and is_ours(runtime := _runtime_dir()):
        yield os.path.join(runtime, "mesh.sock")


def is_ours(directory: str) -> bool:
    """Whether it is a directory of this user, and no link to one."""
    try:
        found = os.lstat(directory)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def log_path(state: str, process: str = "mesh") -> str:
    """The log of ``mesh`` (the sidecar), ``llama-server`` or an ``rpc-server``; ``mesh logs`` shows all."""
    return os.path.join(state, f"{process}.log")


def process_path(state: str) -> str:
    """The file in which a sidecar notes its process id for as long as it runs."""
    return os.path.join(state, "sidecar.pid")


def eviction_path(state: str) -> str:
    """The file in which a sidecar records that it ended because its node was evicted."""
    return os.path.join(state, "evicted")


def config_path() -> str:
    """The configuration file that is read when none is named."""
    import platformdirs

    return os.path.join(platformdirs.user_config_dir(APPLICATION), "config.toml")


def _default_state_dir() -> str:
    import platformdirs

    return platformdirs.user_state_dir(APPLICATION)


def _runtime_dir() -> str:
    """The user's runtime directory, or a private one in /tmp where that is unusable or its path too long."""
    import warnings

    import platformdirs

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a missing XDG_RUNTIME_DIR; there is a fallback for it
            path = platformdirs.user_runtime_dir(APPLICATION)
    except PermissionError:
        path = ""
    longest = len(os.fsencode(path)) + len("/mesh-0123456789abcdef.sock")
    return path if path and longest <= LONGEST_SOCKET_PATH else f"/tmp/{APPLICATION}-{os.geteuid()}"
