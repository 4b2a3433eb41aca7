"""Members as the protocol shows them, for tests of what is made of them."""

from mesh.protocol.membership.peers import MemberState
from mesh.protocol.node.node import Member
from mesh.wire.endpoint import Endpoint
from mesh.wire.facts import Record
from mesh.wire.identity import NodeId, PoolId
from mesh.wire.profile import Model, Profile
from mesh.wire.rights import ALL_RIGHTS, Rights
from tests.leader.shapes import MIB, model_info

ANNA, BERT = NodeId(b"a" * 16), NodeId(b"b" * 16)
TOY = model_info()
PROFILE = Profile(
    name="anna", accelerator_kind="cuda", memory_offered=60 * MIB, engine_state="ready",
    engine_commit="abc", engine_rpc="7.0.0", models=(Model("toy", 8, b"r" * 32),), rank=5,
)  # fmt: skip


def member(
    profile: Profile | None = PROFILE,
    id: NodeId = ANNA,
    rights: Rights = ALL_RIGHTS,
    state: MemberState = MemberState.ALIVE,
    rtt: float | None = 0.002,
) -> Member:
    pool = PoolId(b"p" * 16)
    record = None if profile is None else Record(pool, id, 1, bytes(8), 1, False, profile)
    return Member(id, b"k" * 32, rights, record, state, Endpoint("192.0.2.1", 50052), rtt)
