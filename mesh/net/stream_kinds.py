"""The kinds of streams between nodes: the word in a stream's preface that says what it is for.

`mesh.root.stream_table` says which handler answers each kind.
"""

from enum import StrEnum


class StreamKind(StrEnum):
    """The values are the wire's."""

    PROBE = "probe"
    """A TCP probe, answered by its acceptance alone."""

    GOSSIP = "gossip"
    """Messages of the protocol that do not fit a datagram."""

    ADMIT = "admit"
    """A joiner asks a member for admission; the only kind that a node outside the pool may open."""

    REDEEM = "redeem"
    """A member passes a joiner's proof on to the invite's issuer."""

    APPROVE = "approve"
    """An owner asks a member which applicants wait there, or talks with one of them."""

    TUNNEL = "tunnel"
    """A leader's tunnel to a worker's rpc-server."""

    API = "api"
    """A member's gateway asks the leader for its llama-server."""

    RESUME = "resume"
    """A member's gateway asks the leader to take up an answer that another began."""

    MOVE = "move"
    """A request for the best placement: argument ``{"now": bool}``, reply ``{"text"}`` or ``{"refused"}``."""

    COPY = "copy"
    """Pieces of a model's files."""

    COPIES = "copies"
    """How far a member's copy is, and the leader's order to fetch one."""

    USAGE = "usage"
    """A member asks the leader who asked it how much: reply ``{"counts": [...]}`` or ``{"refused"}``."""

    FETCH = "fetch"
    """An owner has a member that may lead download files of one commit from the hub, without a token."""

    REASONS = "reasons"
    """A member asks the leader, whole, why its model is where it is, and what plans leave out."""

    WORDS = "words"
    """What became of a worker's rpc-server: the lease holder asks, or an owner."""


OPEN_KINDS = frozenset({StreamKind.ADMIT})
"""A node that is no member may open these alone."""
