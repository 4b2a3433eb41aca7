"""Errors between the command line and the sidecar, distinguished by ``code``."""

from mesh.wire.errors import MeshError


class ControlError(MeshError):
    """An error with the short ``code`` that scripts see in ``{"error": {"code", ...}}``."""

    code = "failed"


class NotJoined(ControlError):
    """This machine belongs to no pool at present; the command line ends with exit code 3."""

    code = "not_joined"

    def __init__(
        self,
        message: str = "this machine has not joined a pool",
        hint: str = "join one, or found one, with: mesh join",
    ) -> None:
        super().__init__(message, hint)


class NotRunning(NotJoined):
    """No process listens on the control socket: there is no sidecar, hence no membership."""

    def __init__(self) -> None:
        super().__init__("no sidecar is running on this machine, so it is in no pool")


class Evicted(NotRunning):
    """The sidecar ended because its node was evicted from its pool; ``why`` is the text that it left."""

    def __init__(self, why: str) -> None:
        NotJoined.__init__(
            self,
            why,
            "its key is barred there; to ask an owner anew, as a new node: mesh leave --purge, mesh join",
        )


class AlreadyRunning(ControlError):
    """Another sidecar serves this state directory."""

    code = "already_running"


class OtherStateDir(ControlError):
    """The sidecar that answers has another state directory: it is not this command's, and left alone."""

    def __init__(self, path: str, theirs: str, ours: str) -> None:
        super().__init__(
            f"the sidecar at {path} has the state directory {theirs}, and this command has {ours}",
            "ask that one from its own home; if its version is older, a mesh restart there frees this socket",
        )


class OperationRefused(ControlError):
    """The sidecar answered with an error; ``code`` is the one that it sent."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.code = code
