"""What happens inside a Node that concerns parts on a higher floor: a part emits it, a table says who reacts.

A part emits an event with ``Core.emit`` and knows none of the parts that react. The table in
`mesh.protocol.node.dispatch` lists them, in their order. All have reacted before ``emit`` returns: a fact
takes its full effect before the next fact is considered.
"""

from __future__ import annotations

from typing import Any

from mesh.wire.facts import Signed, Suspicion
from mesh.wire.identity import NodeId
from mesh.wire.immutable import value


@value
class FactStored:
    """A verified fact changed the store."""

    signed: Signed[Any]


@value
class FactDeferred:
    """A fact came from ``source`` (a member or a host) and waits for its author's voucher."""

    key: bytes
    source: Any


@value
class StaleSuspicionHeard:
    """A member suspects this node at a liveness that it refuted already: one more suspector to count."""

    suspicion: Suspicion


@value
class RightsLost:
    """A member lost rights, or other acts of owners count now."""


@value
class SuspicionRaised:
    """This node is to probe a suspect itself; ``refused``: the suspect's machine says that nobody listens."""

    suspect: NodeId
    refused: bool


@value
class FinalProbeDue:
    """The suspicion of a member is about to end: the last chance to hear it."""

    suspect: NodeId


@value
class MemberGone:
    """A member died, left or was forgotten."""


@value
class NewerGenerationSeen:
    """A fact of this very node is of a later generation than it runs in: its disk was rolled back."""

    generation: int


@value
class LeaseRefused:
    """A worker keeps its lease to another claim, which is known by now."""


@value
class Reclaimed:
    """This leader of ``former_term`` claimed a higher term, with no other leader in between."""

    former_term: int


@value
class ProcessPaused:
    """A timer fired so late that this process must have stood still."""


InternalEvent = (
    FactStored
    | FactDeferred
    | StaleSuspicionHeard
    | RightsLost
    | SuspicionRaised
    | FinalProbeDue
    | MemberGone
    | NewerGenerationSeen
    | LeaseRefused
    | Reclaimed
    | ProcessPaused
)
