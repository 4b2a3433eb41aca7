"""Whether what somebody asked to be served is what the pool serves."""

from mesh.control.operations import Event
from mesh.protocol.node import Node
from mesh.root import status as views
from mesh.wire.errors import MeshError
from mesh.wire.facts import Deployment


def same(present: Deployment | None, wanted: Deployment) -> bool:
    """Whether what is deployed is what is asked for, whoever asked first."""

    def what(deployment: Deployment) -> object:
        return (
            deployment.model.root,
            deployment.context,
            deployment.slots,
            deployment.running,
            deployment.layers,
        )

    return present is not None and what(present) == what(wanted)


def outlook(node: Node, wanted: Deployment) -> Event | None:
    """How far ``wanted`` is; None when it is ready.

    Raises MeshError when it cannot be served, or when it is no longer what is to be served: another model's
    readiness is nothing that its asker waits for.
    """
    present, deployment = node.deployment(), views.deployment(node)
    if present is None or deployment is None:
        raise MeshError(f"{wanted.model.name} was stopped meanwhile")
    if not same(present, wanted):
        other = f"{present.model.name} is to be served instead"
        if present.model.root == wanted.model.root:
            other = "it is to be served with other settings"
        raise MeshError(f"{wanted.model.name} was replaced meanwhile: {other}", "see: mesh status")
    if deployment["state"] == "ready":
        return None
    if deployment["state"] == "failed":
        raise MeshError(
            f"{deployment['model']} cannot be served: {deployment['reason']}", "mesh logs tells more"
        )
    text = f"{deployment['state']} {deployment['reason']}".strip()
    return {"text": text, "state": deployment["state"], "progress": deployment["progress"]}
