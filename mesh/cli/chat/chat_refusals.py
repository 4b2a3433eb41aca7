"""Says in words why there is no answer, and what to do next. Pure."""

import re

from mesh.cli.chat.answer_events import BROKEN_OFF, GATEWAY_GONE, AskFailed
from mesh.control.operations import Status
from mesh.wire.errors import MeshError

CONTEXT_FULL = "exceed_context_size"
SERVE_ONE = "serve one: mesh serve MODEL"

_CONTEXT = re.compile(r"context(?: size)? \(?(\d+)")


def explain(failed: AskFailed, way_out: str = "/new begins anew") -> MeshError:
    """Return the error for people; ``way_out``: of a conversation that is too long."""
    message = failed.message
    if CONTEXT_FULL in failed.code or "exceeds the available context" in message:
        found = _CONTEXT.search(message)
        size = f" of {found[1]} tokens" if found else ""
        return MeshError(f"the conversation is longer than the context{size}", way_out)
    if failed.code == GATEWAY_GONE:
        return MeshError(message, "see whether its sidecar runs: mesh status; start it: mesh join")
    if failed.code == BROKEN_OFF:
        return MeshError(message, "ask once more; mesh logs may tell why")
    if failed.status == 403:
        return MeshError(message, "mesh members shows who may do what")
    if failed.status == 413:
        return MeshError(message, way_out)
    if failed.status in (429, 503) and failed.retry_after is not None:
        return MeshError(message, f"ask again in {failed.retry_after:.0f} s; mesh status tells more")
    return MeshError(message, "see: mesh status")


def refuse_unserved(status: Status) -> None:
    """Raise an error where no model can answer now, nor soon."""
    deployment = status["deployment"]
    if deployment is None:
        raise MeshError("no model is served", SERVE_ONE)
    if deployment["state"] == "failed":
        why = f": {deployment['reason']}" if deployment["reason"] else ""
        raise MeshError(f"{deployment['model']} cannot be served{why}", "see: mesh status, mesh logs")
