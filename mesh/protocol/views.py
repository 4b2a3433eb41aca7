"""What a Node shows of itself to status, gateway and discovery: plain values."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.wire.endpoint import Endpoint
from mesh.wire.facts import Record
from mesh.wire.identity import NodeId
from mesh.wire.rights import Rights


@dataclass(frozen=True, slots=True)
class Member:
    """A member as status shows it; ``rtt`` in seconds, None while not measured."""

    id: NodeId
    key: bytes
    rights: Rights
    record: Record | None
    state: str
    endpoint: Endpoint | None
    rtt: float | None
