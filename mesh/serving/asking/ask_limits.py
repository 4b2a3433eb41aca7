"""The limits that this machine's options set, which hold while it leads."""

from leader.door.askers.limits import Limits
from mesh.control.sidecar_options import NodeOptions


def limits_of(options: NodeOptions) -> Limits:
    """The limits of the leader's door."""
    return Limits(
        options.ask_in_flight,
        options.ask_queued,
        options.ask_tokens_per_minute or None,
        options.ask_limits_owners,
    )
