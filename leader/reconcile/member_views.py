"""A member as the reconciler and placement see it. Pure."""

from leader.model.model_info import ModelInfo
from leader.placement.cost import Device, assumed_layer_seconds
from leader.reconcile.view import MemberView
from mesh.engine.backends.backend_table import kind_named
from mesh.protocol.membership.peers import PRESENT
from mesh.protocol.node.node import Member
from mesh.wire.identity import NodeId, id_text
from mesh.wire.profile import Profile
from mesh.wire.rights import Rights

UNMEASURED_RTT = 0.001


def member_view(
    member: Member, leader: NodeId, model_info: ModelInfo | None, reachable: bool = True
) -> MemberView:
    """The member as the reconciler sees it, with ``leader`` leading and ``model_info`` wanted."""
    profile = member.record.profile if member.record else Profile()
    return MemberView(
        id=member.id,
        name=profile.name or id_text(member.id)[:8],
        alive=member.state in PRESENT,
        reachable=reachable,
        work=Rights.WORK in member.rights and profile.memory_offered > 0,
        lead=Rights.LEAD in member.rights and profile.rank > 0,
        paused=profile.paused,
        engine=profile.engine_state,
        engine_reason=profile.engine_reason,
        engine_version=f"{profile.engine_commit} {profile.engine_rpc}",
        models=frozenset(model.root for model in profile.models),
        device=None if model_info is None else device(member.id, profile, member.rtt, model_info, leader),
    )


def device(id: NodeId, profile: Profile, rtt: float | None, model_info: ModelInfo, leader: NodeId) -> Device:
    """The member as placement sees it; no network stands before the leader's own accelerator or CPU."""
    return Device(
        member=id,
        name=profile.name,
        memory_offered=profile.memory_offered,
        layer_seconds=assumed_layer_seconds(model_info, profile.accelerator_kind),
        rtt=0.0 if id == leader else rtt or UNMEASURED_RTT,
        local=id == leader,
        accelerator=kind_named(profile.accelerator_kind).first_device if id == leader else "",
    )
