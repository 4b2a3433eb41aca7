"""The kinds of streams between nodes: the word by which a stream's preface says what it is for.

Which handler answers each kind stands in `mesh.root.stream_table`.
"""

from enum import StrEnum


class StreamKind(StrEnum):
    """The values are the wire's."""

    PROBE = "probe"
    """A TCP probe, answered by its acceptance alone."""

    GOSSIP = "gossip"
    """Messages of the protocol that do not fit a datagram."""

    ADMIT = "admit"
    """A joiner asks a member to be admitted; the only kind that a node may open that is no member."""

    REDEEM = "redeem"
    """A member passes a joiner's proof on to the invite's issuer."""

    APPROVE = "approve"
    """An owner asks a member which applicants wait there, or talks with one of them."""

    TUNNEL = "tunnel"
    """A leader's way to a worker's rpc-server."""

    API = "api"
    """A member's gateway asks the leader for its llama-server."""

    MOVE = "move"
    """A request for the best placement: argument ``{"now": bool}``, reply ``{"text"}`` or ``{"refused"}``."""

    COPY = "copy"
    """Pieces of a model's files."""

    COPIES = "copies"
    """How far a member's copy is, and the leader's word to fetch one."""


OPEN_KINDS = frozenset({StreamKind.ADMIT})
"""A node that is no member may open these alone."""
