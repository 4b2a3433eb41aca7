"""What goes wrong while an engine is looked for or built."""

from mesh.wire.errors import MeshError


class EngineError(MeshError):
    """No usable engine could be had; the hint names the command or file that helps."""


class CorruptDownload(EngineError):
    """A downloaded file is not the one that was asked for."""


class PairError(EngineError):
    """Two binaries that cannot be used as one engine."""
