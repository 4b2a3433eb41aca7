"""Where a node keeps its state, its socket and its logs. Imports platformdirs where a default is needed."""

import os

APPLICATION = "frankenstein-mesh"
LONGEST_SOCKET_PATH = 100
"""Bytes; the kernel's own limit is 108 on Linux and 104 on macOS, the final zero included."""


def state_dir(option: str | None = None) -> str:
    """The state directory as an absolute path without links; `option` is the person's choice, if any."""
    if option:
        return os.path.realpath(os.path.expanduser(option))
    return os.path.realpath(_default_state_dir())


def socket_path(state: str) -> str:
    """The control socket of the sidecar with this state directory: a function of that directory alone.

    For the default state directory it is in the user's runtime directory. Any other holds its own, if that
    path is short enough for a socket. Else it is in the runtime directory, under a hash of the state
    directory.
    """
    if state == os.path.realpath(_default_state_dir()):
        return os.path.join(_runtime_dir(), "mesh.sock")
    beside = os.path.join(state, "mesh.sock")
    if len(os.fsencode(beside)) <= LONGEST_SOCKET_PATH:
        return beside
    from hashlib import blake2b

    return os.path.join(_runtime_dir(), f"mesh-{blake2b(os.fsencode(state), digest_size=8).hexdigest()}.sock")


def log_path(state: str, process: str = "mesh") -> str:
    """The log of ``mesh`` (the sidecar), ``rpc-server`` or ``llama-server``; ``mesh logs`` shows all."""
    return os.path.join(state, f"{process}.log")


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
