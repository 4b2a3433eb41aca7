"""The options of a node in force: those given now, else those given before, else the defaults."""

from mesh.control.sidecar_options import NodeOptions, SidecarOptions, fill_in
from mesh.gateway.api_key import read_api_key
from mesh.runtime.state import StateDir
from mesh.wire.errors import MeshError


def settle(options: SidecarOptions, state: StateDir) -> NodeOptions:
    """Fill in options that were not given from the last start or the defaults, and save the result.

    Raises MeshError when the API is opened to the network without a good key.
    """
    stored = state.load("settings")
    effective = fill_in(options.given, stored)
    if effective.listen is not None:
        if effective.api_key is None:
            raise MeshError(
                "--listen opens the API to the network and needs a key",
                "write one word into a file: --api-key FILE",
            )
        read_api_key(effective.api_key)  # fail now rather than in a pool
    settings = {**effective.values(), "log_format": options.log_format}
    if settings != stored:
        state.save("settings", settings)
    return effective
