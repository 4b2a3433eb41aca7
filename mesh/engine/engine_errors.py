"""The errors of finding or building an engine."""

from mesh.wire.errors import MeshError


class EngineError(MeshError):
    """No usable engine is available; the hint names the command or file that helps."""


class NotFetched(EngineError):
    """What an engine is built from did not come, whatever it is built for; it may come later."""


class CorruptDownload(NotFetched):
    """A downloaded file differs from the one that was asked for."""


class PairError(EngineError):
    """Two binaries that cannot be used as one engine."""
