"""Whether the pool can answer, as far as its status says. Pure."""

from collections.abc import Mapping
from typing import Any

from mesh.gateway.backend import NotReady
from mesh.wire.states import Phase


def why_not_ready(status: Mapping[str, Any]) -> NotReady | None:
    """Read a status object (``mesh status --json``); return None where a request can be answered now."""
    deployment = status.get("deployment")
    if not deployment:
        return NotReady("no model is being served", 10, "mesh serve MODEL")
    if not status.get("leader"):
        return NotReady("the pool has no leader at the moment", 2)
    state = deployment.get("state")
    if state == Phase.READY:
        return None
    reason = deployment.get("reason") or ""
    if state == Phase.FAILED:
        return NotReady(f"the model cannot be served: {reason or 'it failed'}", 30)
    percent = round(100 * (deployment.get("progress") or 0))
    text = f"the model is {state}, {percent}%"
    return NotReady(f"{text}: {reason}" if reason else text, 5)
