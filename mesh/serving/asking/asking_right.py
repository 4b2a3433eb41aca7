"""Whether a member may ask the model, as its own gateway and the leader look it up before anything else."""

from leader.door.askers.right_to_ask import barred
from leader.door.orders import Refused
from mesh.protocol.node.node import Node
from mesh.wire.identity import NodeId


def asking_refused(node: Node, peer: NodeId | None) -> Refused | None:
    """The refusal for who is no member, or one without the right; None for who may ask."""
    if peer is None or not node.chain(peer):
        return Refused(403, "no_member", "who asks is no member of this pool")
    return barred(node.rights(peer))
