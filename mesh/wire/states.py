"""The words for how far an engine and a deployment are, as records, pool states and JSON carry them.

On the wire they are free text, for another version may know more of them. What was read is kept as that text
and compared with these by ``==``; a word that is none of them equals none, and is shown as it came.
"""

from __future__ import annotations

from enum import StrEnum


class EngineState(StrEnum):
    """How far a machine is with having an engine."""

    MISSING = "missing"
    BUILDING = "building"
    READY = "ready"
    FAILED = "failed"


class Phase(StrEnum):
    """How far a deployment is."""

    WAITING = "waiting"
    COPYING = "copying"
    LOADING = "loading"
    READY = "ready"
    MOVING = "moving"
    FAILED = "failed"
    STOPPED = "stopped"
    """It is not to run: status shows no deployment then."""
