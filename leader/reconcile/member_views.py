"""A member as the reconciler and placement see it. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from leader.model.model_info import ModelInfo
from leader.placement.cost import Device, assumed_layer_seconds
from leader.reconcile.view import MemberView
from mesh.engine.backends.backend_table import kind_named
from mesh.engine.backends.cpu import CPU
from mesh.protocol.membership.peers import PRESENT
from mesh.protocol.node.node import Member
from mesh.wire.identity import NodeId, id_text
from mesh.wire.profile import OfferedDevice, Profile
from mesh.wire.rights import Rights

UNMEASURED_RTT = 0.001


def member_view(
    member: Member,
    leader: NodeId,
    model_info: ModelInfo | None,
    reachable: bool = True,
    has_served: bool = True,
) -> MemberView:
    """The member as the reconciler sees it, with ``leader`` leading and ``model_info`` wanted.

    One that is no owner and has not served well yet (``has_served``) is on probation: see `devices`.
    """
    profile = member.record.profile if member.record else Profile()
    return MemberView(
        id=member.id,
        name=profile.name or id_text(member.id)[:8],
        alive=member.state in PRESENT,
        reachable=reachable,
        work=Rights.WORK in member.rights and profile.lent > 0,
        lead=Rights.LEAD in member.rights and profile.rank > 0,
        paused=profile.paused,
        engine=profile.engine_state,
        engine_reason=profile.engine_reason,
        engine_version=f"{profile.engine_commit} {profile.engine_rpc}",
        models=frozenset(model.root for model in profile.models),
        memory_offered=profile.lent,
        devices=()
        if model_info is None
        else devices(
            member.id,
            profile,
            member.rtt,
            model_info,
            leader,
            on_probation=not (has_served or Rights.OWN in member.rights or member.id == leader),
        ),
    )


def devices(
    id: bytes,
    profile: Profile,
    rtt: float | None,
    model_info: ModelInfo,
    leader: bytes,
    on_probation: bool = False,
) -> tuple[Device, ...]:
    """The member's devices as placement sees them; no network stands before the leader's own.

    While it is on probation, they get no more than half of the layers together, while others could hold the
    rest: what it claims of itself may be wrong, and what it holds it sees, and may lose.

    A member of wire version 2 tells of one alone. The leader's processor is the host of the pipeline, one
    device, however it is divided.
    """
    told = _told_apart(profile.devices) or (
        OfferedDevice(profile.accelerator_kind, "", profile.memory_total, profile.memory_offered),
    )
    if id == leader:
        told = _one_host(told)
    most = max(1, model_info.n_layers // 2) if on_probation else None
    return tuple(
        Device(
            member=id,
            name=f"{profile.name}/{one.name}" if len(told) > 1 else profile.name,
            memory_offered=one.memory_offered,
            layer_seconds=assumed_layer_seconds(model_info, one.kind),
            rtt=0.0 if id == leader else rtt or UNMEASURED_RTT,
            local=id == leader,
            accelerator=_accelerator(one) if id == leader else "",
            device=one.name,
            most_layers=most,
        )
        for one in told
    )


def _told_apart(told: Sequence[OfferedDevice]) -> tuple[OfferedDevice, ...]:
    """Those that a tunnel can name: of several with one name the first, and none without, unless alone.

    A record may say anything, and no rpc-server would serve the others.
    """
    if len(told) < 2:
        return tuple(told)
    first = {one.name: one for one in reversed(told) if one.name}
    return tuple(one for one in told if first.get(one.name) is one)


def _accelerator(device: OfferedDevice) -> str:
    """llama.cpp's name of it; empty for the processor."""
    kind = kind_named(device.kind)
    return "" if kind is CPU else device.name or kind.first_device


def _one_host(told: Sequence[OfferedDevice]) -> tuple[OfferedDevice, ...]:
    processors = [one for one in told if kind_named(one.kind) is CPU]
    if len(processors) < 2:
        return tuple(told)
    lent = sum(one.memory_offered for one in processors)
    host = replace(processors[0], memory_offered=lent)
    return (host, *(one for one in told if one not in processors))
