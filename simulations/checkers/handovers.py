"""What a Node knows of resigned claims, by the facts that it stores."""

from __future__ import annotations

from mesh.protocol.node.node import Node
from mesh.wire.facts import Claim, Resignation


def is_named(node: Node, term: int) -> bool:
    """Whether a leader of the term before handed over to this Node.

    That leader may have claimed anew since: one message can bring both its resignation and that claim.
    """
    inside = node.inspect()
    led = {signed.fact.author for signed in inside.facts(Claim) if signed.fact.term >= term - 1}
    resigned = (signed.fact for signed in inside.facts(Resignation) if signed.fact.author in led)
    return any(fact.successor == node.id and fact.term == term - 1 for fact in resigned)


def resigned_term(node: Node) -> int:
    """The term up to which the Node knows that it resigned its own claims; 0 for none."""
    own = (signed.fact for signed in node.inspect().facts(Resignation))
    return max((int(fact.term) for fact in own if fact.author == node.id), default=0)
