"""Whether callers from loopback may be machines of the tailnet, as far as tailscaled has said. Pure.

A tailscaled that runs in userspace has no network interface. It passes on what comes for this machine's
tailnet address, to the same port of 127.0.0.1: there a stranger looks like a program of this machine. Its
status says how it runs, and its whois tells by the port whose a connection is.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from mesh.gateway.replies import Reply, error_reply, unavailable

WORD_SECONDS: Final = 5.0
"""How long a daemon's word on how it runs counts."""


class Mode(Enum):
    """How tailscaled runs."""

    ABSENT = "absent"
    """Nothing listens on its socket."""
    INTERFACE = "interface"
    """It forwards nothing: nobody but this machine's programs reaches loopback."""
    USERSPACE = "userspace"
    SILENT = "silent"
    """It is there and has not said yet."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What one daemon, known by its socket, has said last."""

    daemon: Hashable
    mode: Mode
    at: float

    def is_current(self, daemon: Hashable, now: float) -> bool:
        """Whether it need not be asked again. Nobody's absence lasts: a daemon may start at any moment."""
        if self.mode is Mode.ABSENT or self.daemon != daemon:
            return False
        return now < self.at + WORD_SECONDS


def hear(before: Heard | None, daemon: Hashable, said: Mode, now: float) -> Heard:
    """Combine a daemon's answer with its earlier one, which counts on while it says nothing.

    It cannot change while that process lives, and another process makes another socket.
    """
    if said is Mode.SILENT and before is not None and before.daemon == daemon:
        kept = before.mode in (Mode.INTERFACE, Mode.USERSPACE)
        return Heard(daemon, before.mode if kept else said, now)
    return Heard(daemon, said, now)


def refused_tailnet() -> Reply:
    """Refuse a caller that whois knows."""
    return error_reply(
        403,
        "forbidden_caller",
        "this API answers the programs of its own machine, and you come over the tailnet: use the API of a "
        "member of the pool on your own machine, or have this one opened with --listen 127.0.0.1 --api-key",
    )


def refused_unknown() -> Reply:
    """Refuse a caller of which tailscaled does not say whether it comes over the tailnet."""
    return unavailable(
        "unknown_caller",
        "tailscaled here does not say who is calling, so this may be a stranger of the tailnet: see "
        "what `mesh doctor` says of the tailnet on this machine, then ask again",
        WORD_SECONDS,
    )
