"""What a chat asks the sidecar: its status, with an error in words where nobody can answer."""

import argparse

from mesh.cli.asking import ask_sidecar, state_of
from mesh.cli.chat.chat_refusals import refuse_unserved
from mesh.control.control_client import send
from mesh.control.operations import STATUS, Status
from mesh.wire.errors import MeshError

STATUS_LIMIT = 2.0
"""Seconds that the sidecar may take while an answer waits."""


def status_to_ask(args: argparse.Namespace) -> Status:
    """Return the status of a pool that serves a model. Raises NotJoined, and MeshError without a model."""
    status = ask_sidecar(args, STATUS.request({}))
    refuse_unserved(status)
    return status


def status_if_told(args: argparse.Namespace) -> Status | None:
    """Return the status; None where the sidecar does not tell it now."""
    try:
        return send(state_of(args), STATUS.request({}), timeout=STATUS_LIMIT)
    except MeshError:
        return None
