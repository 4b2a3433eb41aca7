"""A step of the demo that did not work."""

from mesh.wire.errors import MeshError


class StepFailed(MeshError):
    """The demo cannot go on."""

    usual_hint = "mesh doctor tells what this machine lacks; then try again"
