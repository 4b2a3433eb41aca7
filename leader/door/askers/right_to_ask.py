"""Whether a member may ask at all. Pure. Its own gateway looks first, the leader in any case."""

from leader.door.orders import Refused
from mesh.wire.rights import Rights


def barred(rights: Rights) -> Refused | None:
    """The refusal for a member with these rights; None where it may ask."""
    if rights.may_ask:
        return None
    how = "an owner runs `mesh invite --rights work,ask`; here: `mesh leave`, then the line from there"
    return Refused(403, "may_not_ask", f"this machine is in the pool without the right to ask: {how}")
