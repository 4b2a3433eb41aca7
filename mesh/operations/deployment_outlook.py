"""Whether the pool serves what was requested."""

from leader.model.deployed_settings import settings_of, with_settings
from leader.model.engine_settings import EngineSettings
from leader.reconcile.deployed_layers import layers_of
from leader.reconcile.driver import ELLIPSIS
from mesh.control.operations import ProgressEvent
from mesh.protocol.node.node import Node
from mesh.runtime import status as views
from mesh.runtime.deployment_source import with_source
from mesh.wire.errors import MeshError
from mesh.wire.facts import DEFAULT_COPIES, MAX_COPIES, Deployment, DeploymentOptions
from mesh.wire.profile import Model

_WITHOUT_REASON = {"waiting": "waiting for the leader"}
"""A state for people, until the leader says more of it."""


class Unserved(MeshError):
    """The leader gave the deployment up: its reason, as far as a fact has room for that."""

    def __init__(self, model: str, reason: str) -> None:
        super().__init__(f"{model} cannot be served: {reason}", "mesh plan and mesh logs tell more")
        self._model, self._reason = model, reason

    def whole(self, reason: str) -> str:
        """The message with the leader's whole reason, where ``reason`` is that by now."""
        goes_on = reason.startswith(self._reason.removesuffix(ELLIPSIS))
        return f"{self._model} cannot be served: {reason if goes_on else self._reason}"


def same(present: Deployment | None, wanted: Deployment) -> bool:
    """Whether the present deployment is the wanted one, whichever owner signed it."""

    def what(deployment: Deployment) -> object:
        return (
            deployment.model.root,
            "" if deployment.second is None else deployment.second.root,
            settings_of(deployment),
            deployment.running,
            layers_of(deployment),
            deployment.copies,
        )

    return present is not None and what(present) == what(wanted)


def copies_of(wanted: int | None, model: Model, present: Deployment | None) -> int:
    """How many members should hold the file: as requested, else as before, else the default.

    Raises MeshError for more than a deployment may ask for.
    """
    if wanted is not None and wanted > MAX_COPIES:
        raise MeshError(f"{wanted} copies are too many", f"at most {MAX_COPIES}")
    if wanted is not None:
        return wanted
    return present.copies if present is not None and present.model == model else DEFAULT_COPIES


def options_of(
    source: str | None, settings: EngineSettings, model: Model, present: Deployment | None
) -> DeploymentOptions:
    """The options as before, if the model stays, with these settings and where the model was downloaded.

    Raises MeshError for what is no source.
    """
    before = present.options if present is not None and present.model == model else ()
    options = with_settings(before, settings)
    return options if source is None else with_source(options, source)


def outlook(node: Node, wanted: Deployment) -> ProgressEvent | None:
    """How far ``wanted`` is; None when it is ready.

    Raises MeshError when it cannot be served, or is no longer the deployment: the person does not wait for
    another model.
    """
    present, deployment = node.deployment(), views.deployment(node)
    if present is None or deployment is None:
        raise MeshError(f"{wanted.model.name} was stopped meanwhile", "serve it anew, with mesh serve")
    if not same(present, wanted):
        other = f"{present.model.name} is to be served instead"
        if present.model.root == wanted.model.root:
            other = "it is to be served with other settings"
        raise MeshError(f"{wanted.model.name} was replaced meanwhile: {other}", "see: mesh status")
    if deployment["state"] == "ready":
        return None
    if deployment["state"] == "failed":
        raise Unserved(deployment["model"], deployment["reason"])
    reason = deployment["reason"]
    text = f"{deployment['state']}: {reason}" if reason else _WITHOUT_REASON.get(deployment["state"], "")
    text = text or deployment["state"]
    event: ProgressEvent = {"text": text, "state": deployment["state"]}
    if deployment["state"] != "waiting":  # of which there is no share
        event["progress"] = deployment["progress"]
    return event
