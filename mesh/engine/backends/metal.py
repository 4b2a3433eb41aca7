"""Metal: the GPU of Apple silicon, which shares the machine's memory."""

from typing import Final

from mesh.engine.backends.backend_kind import BackendKind, Probes
from mesh.engine.backends.cpu import darwin_processor
from mesh.engine.types import Backend


def detect(probes: Probes) -> Backend | str:
    if probes.machine() != "arm64":
        return "an Intel Mac, whose GPU llama.cpp does not use well"
    if probes.run("/usr/bin/xcode-select", "-p") is None:
        return "an Apple GPU, but no Xcode command line tools to build for it (xcode-select --install)"
    flags = ("-DGGML_METAL=ON", "-DGGML_METAL_EMBED_LIBRARY=ON")
    return Backend("metal", darwin_processor(probes), "Apple silicon", flags)


METAL: Final = BackendKind(
    name="metal",
    detect=detect,
    on_darwin=True,
    elsewhere=False,
    devices=("MTL", "Metal"),
    bandwidth=80e9,
    disk_needed=500_000_000,
)
