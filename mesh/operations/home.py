"""What all operations share: the sidecar as they see it, and the pool that it must be in, or must own."""

from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from mesh.admission.handshake import Admitted
from mesh.control.control_errors import NotJoined
from mesh.control.operations import ProgressEvent
from mesh.control.sidecar_options import NodeOptions
from mesh.member.stay import Stay
from mesh.runtime.node_context import NodeContext
from mesh.runtime.state import StateDir
from mesh.wire.errors import MeshError
from mesh.wire.rights import Rights

EmitEvent = Callable[[ProgressEvent], Awaitable[None]]


class Home(Protocol):
    """The sidecar, as its operations see it: a machine, and the pool it is in, if any."""

    machine: NodeContext
    options: NodeOptions
    state: StateDir
    pool: Stay | None
    joining: trio.Lock
    leaving: bool
    stopping: trio.Event
    purge: bool

    async def found(self) -> None:
        """Begin a pool of this node's own."""

    async def admit(self, admitted: Admitted) -> None:
        """Become a member by a pool's answer to admission."""

    async def leave_pool(self, forget: bool) -> None:
        """Tell the others and end the stay; with ``forget``, a restart does not return to the pool."""


def joined_pool(home: Home) -> Stay:
    """The pool that this machine is in. Raises NotJoined."""
    if home.pool is None:
        raise NotJoined
    return home.pool


def owned_pool(home: Home, act: str, hint: str) -> Stay:
    """The same, for an owner.

    Raises MeshError with ``hint`` when this machine is none, which ``act`` needs.
    """
    pool = joined_pool(home)
    if Rights.OWN not in pool.node.rights(pool.node.id):
        raise MeshError(f"this machine may not {act}: it is no owner of the pool", hint)
    return pool
