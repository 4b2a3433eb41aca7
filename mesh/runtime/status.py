"""Builds `mesh status --json` from the Node's views."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import cast

from leader.blame.quarantines import LONGEST
from leader.model.deployed_settings import settings_of
from mesh.control.operations import (
    DeploymentState,
    DeploymentStatus,
    DeviceStatus,
    EngineStatus,
    LeaderStatus,
    MemberStatus,
    NamedDeploymentStatus,
    PlanStatus,
    PoolEngineStatus,
    PoolName,
    QuarantineStatus,
    SelfStatus,
    Status,
)
from mesh.net.versions_preface import ProgramVersion
from mesh.protocol.membership.peers import PRESENT
from mesh.protocol.node.node import Member, Node
from mesh.runtime.deployment_source import source_of
from mesh.runtime.program_build import build, version
from mesh.runtime.version_problems import version_problems
from mesh.wire.facts import PoolState, Stage
from mesh.wire.identity import NodeId, PoolId, id_text
from mesh.wire.profile import Model, OfferedDevice
from mesh.wire.rights import Rights
from mesh.wire.states import Phase


def status(
    node: Node,
    id: PoolId,
    pool_name: str,
    engine: EngineStatus,
    api: str,
    heard: Mapping[NodeId, ProgramVersion] = MappingProxyType({}),
    listen: str | None = None,
) -> Status:
    """The whole object; shapes and units as `mesh.control.operations` says.

    ``heard``: what members said of their programs on streams since they were last present, which counts
    where they are gone: one that was upgraded too far is heard no more, and its record is from before.
    """
    report = current_state(node)
    members = [
        _member(member, report, None if member.state in PRESENT else heard.get(member.id))
        for member in node.members()
    ]
    return {
        "version": version(),
        "pool": pool(id, pool_name),
        "self": self_status(node),
        "engine": engine,
        "leader": leader(node),
        "members": members,
        "deployment": deployment(node),
        "deployments": deployments(node),
        "plan": plan(node),
        "pool_engine": pool_engine(node),
        "api": api,
        "listen": listen,
        "running": {"version": version(), "build": build()},
        "problems": version_problems(members, id_text(node.id)),
    }


def pool(id: PoolId, name: str) -> PoolName:
    return {"id": id_text(id), "name": name}


def self_status(node: Node) -> SelfStatus:
    member = node.member(node.id)
    return {
        "id": id_text(node.id),
        "name": _name(member, node.id),
        "address": _address(member),
        "paused": bool(member and member.record and member.record.profile.paused),
    }


def leader(node: Node) -> LeaderStatus | None:
    claim = node.leader()
    if claim is None:
        return None
    return {"id": id_text(claim.author), "name": name_of(node, claim.author), "term": claim.term}


def deployment(node: Node) -> DeploymentStatus | None:
    """The deployment as its leader reports it; waiting while no leader has reported it yet."""
    wanted = node.deployment()
    if wanted is None or not wanted.running:
        return None
    report = current_state(node)
    if report is None:
        phase, progress = Phase.WAITING.value, 0.0
        reason = "" if node.leader() else _why_no_leader(node, wanted.model)
    else:
        phase, progress, reason = report.phase, report.progress, report.reason
    settings = settings_of(wanted)
    shown: DeploymentStatus = {
        "model": wanted.model.name,
        "sha256": wanted.model.root.hex(),
        "state": cast(DeploymentState, phase),
        "progress": round(progress, 3),
        "reason": reason,
        "context": wanted.context,
        "slots": wanted.slots,
        "kv": settings.kv,
        "embeddings": settings.embeddings,
    }
    if wanted.second is not None:
        shown["projector"] = wanted.second.name
    if source := source_of(wanted.options):
        shown["source"] = source
    return shown


def deployments(node: Node) -> list[NamedDeploymentStatus]:
    """The same with its name, in a list that holds none or one as yet."""
    wanted, shown = node.deployment(), deployment(node)
    return [] if wanted is None or shown is None else [{"name": wanted.name, **shown}]


def pool_engine(node: Node) -> PoolEngineStatus | None:
    """An owner's word on the pool's llama.cpp; None where each member runs whichever it has."""
    word = node.pool_engine()
    return (
        None if word is None or not word.release else {"release": word.release, "digest": word.digest.hex()}
    )


def _why_no_leader(node: Node, model: Model) -> str:
    able = [
        member
        for member in node.members()
        if member.state in PRESENT
        and Rights.LEAD in member.rights
        and member.record is not None
        and member.record.profile.rank > 0
    ]
    return (
        "no leader at present"
        if able
        else f"none of the machines that are alive may lead{_away(node, model)}"
    )


def _away(node: Node, model: Model) -> str:
    """Name the missing members: those that may lead, and which of them hold the model."""
    missing = [m for m in node.members() if Rights.LEAD in m.rights and m.state not in PRESENT]
    named = []
    for member in missing:
        held = member.record is not None and model.root in {one.root for one in member.record.profile.models}
        named.append(f"{_name(member, member.id)} ({member.state}{', holds the model' if held else ''})")
    return f"; missing: {', '.join(named)}" if named else ""


def plan(node: Node) -> PlanStatus | None:
    report = current_state(node)
    if report is None or not report.stages:
        return None
    return {
        "term": report.term,
        "predicted_tokens_per_second": round(report.tokens_per_second, 3),
        "stages": [
            {
                "member": id_text(stage.member),
                "device": stage.device,
                "layers": [stage.first, stage.last],
                "head": stage.head,
                "bytes": stage.bytes,
                "milliseconds": round(stage.milliseconds, 3),
            }
            for stage in report.stages
        ],
    }


def current_state(node: Node) -> PoolState | None:
    """The present leader's report on the present deployment; None before there is one."""
    claim, report, wanted = node.leader(), node.pool_state(), node.deployment()
    if claim is None or report is None or wanted is None:
        return None
    current = (report.author, report.term, report.deployment) == (claim.author, claim.term, wanted.number)
    return report if current else None


def name_of(node: Node, id: NodeId) -> str:
    return _name(node.member(id), id)


def _name(member: Member | None, id: NodeId) -> str:
    return member.record.profile.name if member and member.record else id_text(id)[:8]


def _address(member: Member | None) -> str:
    if member is None:
        return ""
    if member.endpoint is not None:
        return str(member.endpoint)
    return (
        str(member.record.profile.addresses[0]) if member.record and member.record.profile.addresses else ""
    )


def _member(member: Member, report: PoolState | None, heard: ProgramVersion | None) -> MemberStatus:
    profile = member.record.profile if member.record else None
    program = _program(member, heard)
    held = (
        [stage for stage in report.stages if stage.member == member.id and stage.last >= stage.first]
        if report
        else []
    )
    return {
        "id": id_text(member.id),
        "name": profile.name if profile else (heard.name if heard else "") or _name(member, member.id),
        "address": _address(member),
        "state": member.state.value,
        "rights": member.rights.names(),
        "accelerator": {
            "kind": profile.accelerator_kind if profile else "cpu",
            "name": profile.accelerator_name if profile else "",
        },
        "memory": {
            "total": profile.memory_total if profile else 0,
            "offered": profile.memory_offered if profile else 0,
            "free": profile.memory_free if profile else 0,
        },
        "rtt_ms": None if member.rtt is None else round(member.rtt * 1000, 3),
        "llama_cpp": {"commit": profile.engine_commit, "rpc": profile.engine_rpc}
        if profile and profile.engine_commit
        else None,
        "layers": [held[0].first, held[-1].last] if held else None,
        "versions": None if program is None else list(program.speaks),
        "build": program.build if program else "",
        "devices": [_device(member.id, one, held, report) for one in profile.devices] if profile else [],
        "quarantine": _quarantine(member.id, "", report),
    }


def _program(member: Member, heard: ProgramVersion | None) -> ProgramVersion | None:
    """What a member runs, by the latest word; None while unknown.

    Datagrams that this node cannot read come for as long as their sender runs: they are later than a stream.
    A record's build is that of the program that signed it, which may be gone.
    """
    if heard and (member.is_understood or heard.speaks == member.speaks):
        return heard
    if member.speaks is None:
        return None
    record = member.record
    return ProgramVersion(
        member.speaks, record.profile.build if record and record.speaks == member.speaks else ""
    )


def _device(
    member: NodeId, device: OfferedDevice, held: Sequence[Stage], report: PoolState | None
) -> DeviceStatus:
    """With its layers, of those that its member holds."""
    own = [stage for stage in held if stage.device == device.name]
    return {
        "kind": device.kind,
        "name": device.name,
        "memory": {"total": device.memory_total, "offered": device.memory_offered},
        "layers": [own[0].first, own[-1].last] if own else None,
        "bandwidth": device.bandwidth or None,
        "operations": device.operations or None,
        "overhead": device.overhead or None,
        "slope": device.slope or None,
        "quarantine": _quarantine(member, device.name, report),
    }


def _quarantine(member: NodeId, device: str, report: PoolState | None) -> QuarantineStatus | None:
    """Whether the leader leaves this device out of its plan; no name: the whole member."""
    for one in report.quarantines if report else ():
        if (one.member, one.device) == (member, device):
            return {"seconds": min(one.seconds, int(LONGEST)), "reason": one.reason}
    return None
