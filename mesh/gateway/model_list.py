"""The model that the pool serves, as OpenAI's clients list it: from the status, whoever leads. Pure."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

from mesh.gateway.replies import Reply, error_reply, json_reply

PATHS: Final = frozenset({"/v1/models", "/models"})
"""Where all are listed; below the first, one is told."""
ONE: Final = "/v1/models/"


def lists_models(path: str) -> bool:
    """Whether this path asks which models there are, or for one of them."""
    return path in PATHS or path.startswith(ONE)


def model_list(status: Mapping[str, Any], path: str, created: int) -> Reply:
    """Answer a request for the list, or for one model by its id, which may be encoded as in a URL.

    ``created`` is in seconds since 1970, as those clients want it.
    """
    deployment = status.get("deployment")
    models = [_model(deployment, created)] if deployment else []
    if path in PATHS:
        return json_reply(200, {"object": "list", "data": models})
    asked = path.removeprefix(ONE)
    for model in models:
        if model["id"] in (asked, unquote(asked)):
            return json_reply(200, model)
    served = f"served: {models[0]['id']}" if models else "none is (mesh serve MODEL)"
    return error_reply(404, "model_not_found", f"no model {unquote(asked)!r} is served; {served}")


def _model(deployment: Mapping[str, Any], created: int) -> dict[str, Any]:
    """The model by the name that answers carry, with its state and what a request may count on."""
    return {
        "id": deployment["model"],
        "object": "model",
        "created": created,
        "owned_by": "mesh",
        "status": {name: deployment[name] for name in ("state", "progress", "reason")},
        "meta": {"n_ctx": deployment["context"], "slots": deployment["slots"]},
    }
