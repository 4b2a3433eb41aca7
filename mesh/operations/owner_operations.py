"""An owner's operations: invites, approvals, evictions."""

from mesh.admission.approval_owner import Approver
from mesh.admission.codes import Code
from mesh.control.operations import (
    ApproveArgs,
    ApproveResult,
    EvictArgs,
    EvictResult,
    InviteArgs,
    InviteResult,
)
from mesh.member.stay import Stay
from mesh.operations.home import EmitEvent, Home, owned_pool
from mesh.runtime.clock import now
from mesh.wire.identity import NodeId, id_text, node_id, parse_id
from mesh.wire.rights import Rights


class OwnerOperations:
    """Admits machines and evicts members."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._approver: Approver | None = None

    def _owned(self, act: str) -> Stay:
        return owned_pool(self._home, act, f"ask an owner: mesh {act} there")

    async def invite(self, args: InviteArgs, emit: EmitEvent) -> InviteResult:
        pool = self._owned("invite")
        rights = Rights.parse(",".join(args["rights"]))
        hints = pool.driver.endpoints(pool.node.id)
        uses = args["uses"] or None
        token = pool.invites.create(pool.id, pool.node.id, hints, rights, args["expires"], uses)
        return {
            "token": token.text(),
            "rights": rights.names(),
            "expires": args["expires"],
            "uses": args["uses"],
        }

    async def approve(self, args: ApproveArgs, emit: EmitEvent) -> ApproveResult:
        pool = self._owned("approve")
        code, rights = Code.parse(args["code"]), Rights.parse(",".join(args["rights"]))
        machine = pool.machine
        if self._approver is None:
            self._approver = Approver(machine.identity, machine.streams, pool.admission_server, now)
        applicant = await self._approver.approve(pool.driver, code, rights)
        subject = node_id(applicant.key)
        return {
            "id": id_text(subject),
            "name": applicant.name,
            "rights": pool.node.rights(subject).names(),
        }

    async def evict(self, args: EvictArgs, emit: EmitEvent) -> EvictResult:
        pool = self._owned("evict")
        id = NodeId(parse_id(args["member"]))
        known = pool.node.member(id)
        before = set(pool.node.keys())
        pool.driver.command(pool.node.evict, id)
        return {
            "id": id_text(id),
            "name": known.record.profile.name if known is not None and known.record is not None else "",
            "fallen": [id_text(gone) for gone in sorted(before - set(pool.node.keys())) if gone != id],
        }
