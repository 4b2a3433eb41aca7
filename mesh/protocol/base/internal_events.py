"""Events inside a Node: a part emits one, and parts on a higher floor react.

A part emits an event with ``Context.emit`` and knows none of the parts that react. The table in
`mesh.protocol.node.dispatch` lists them, in their order. All have reacted before ``emit`` returns: a fact
takes its full effect before the next fact is considered.
"""

from __future__ import annotations

from typing import Any

from mesh.wire.facts import Suspicion
from mesh.wire.identity import NodeId
from mesh.wire.immutable import value
from mesh.wire.signed_facts import Signed


@value
class FactStored:
    """A verified fact changed the store."""

    signed: Signed[Any]


@value
class FactDeferred:
    """A fact that ``source`` (a member or a host) handed over is pending until its author is vouched for."""

    key: bytes
    source: Any


@value
class StaleSuspicionHeard:
    """A member suspects this node at a liveness that it has refuted: one more suspector to count."""

    suspicion: Suspicion


@value
class RightsLost:
    """A member lost rights, or the set of valid acts changed."""


@value
class SuspicionRaised:
    """This node shall probe a suspect itself; ``refused``: the suspect's machine refused the port."""

    suspect: NodeId
    refused: bool


@value
class FinalProbeDue:
    """The suspicion of a member is about to end: a final probe is its last chance to answer."""

    suspect: NodeId


@value
class MemberGone:
    """A member died, left or was forgotten."""


@value
class NewerGenerationSeen:
    """A fact of this node has a later generation than it runs in: its state was rolled back."""

    generation: int


@value
class LeaseRefused:
    """A worker's lease is bound to another claim, which this leader has learnt by now."""


@value
class Reclaimed:
    """This leader of ``former_term`` reclaimed in a higher term, with no other leader in between."""

    former_term: int


@value
class FormChanged:
    """This node signs its facts in the form of another wire version from now on."""


@value
class ProcessPaused:
    """A timer fired so late that this process must have been paused."""


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
    | FormChanged
    | ProcessPaused
)
