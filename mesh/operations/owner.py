"""What an owner asks of its sidecar: invites, approvals, evictions."""

from collections.abc import Callable, Mapping
from typing import Any, cast

from mesh.admission.approval_owner import Approver
from mesh.admission.codes import Code
from mesh.control.control_server import Emit, Handler
from mesh.control.operations import ApproveResult, EvictResult, InviteResult, Right
from mesh.member.stay import Pool
from mesh.runtime.clock import now
from mesh.wire.errors import MeshError
from mesh.wire.identity import NodeId, id_text, node_id, parse_id
from mesh.wire.rights import Rights


class Owning:
    """Answers for one sidecar; ``pool`` gives the pool that it is in, or raises NotJoined."""

    def __init__(self, pool: Callable[[], Pool]) -> None:
        self._pool = pool
        self._approver: Approver | None = None

    def operations(self) -> Mapping[str, Handler]:
        return {"invite": self.invite, "approve": self.approve, "evict": self.evict}

    def _owned(self, act: str, where: str) -> Pool:
        """The pool; MeshError when this machine is no owner of it."""
        pool = self._pool()
        if Rights.OWN not in pool.node.rights(pool.node.id):
            raise MeshError(
                f"this machine may not {act}: it is no owner of the pool", f"ask an owner: {where} there"
            )
        return pool

    async def invite(self, args: dict[str, Any], emit: Emit) -> Mapping[str, Any]:
        pool = self._owned("invite", "mesh invite")
        node = pool.node
        rights = Rights.parse(",".join(args["rights"]))
        hints = pool.driver.endpoints(node.id)
        uses, expires = int(args["uses"]), float(args["expires"])
        token = pool.invites.create(pool.id, node.id, hints, rights, expires, uses or None)
        result: InviteResult = {
            "token": token.text(),
            "rights": args["rights"],
            "expires": expires,
            "uses": uses,
        }
        return result

    async def approve(self, args: dict[str, Any], emit: Emit) -> Mapping[str, Any]:
        pool = self._owned("approve", "mesh approve")
        code, rights = Code.parse(args["code"]), Rights.parse(",".join(args["rights"]))
        machine = pool.machine
        if self._approver is None:
            self._approver = Approver(machine.identity, machine.streams, pool.admission_server, now)
        applicant = await self._approver.approve(pool.driver, code, rights)
        subject = node_id(applicant.key)
        result: ApproveResult = {
            "id": id_text(subject),
            "name": applicant.name,
            "rights": cast(list[Right], pool.node.rights(subject).names()),
        }
        return result

    async def evict(self, args: dict[str, Any], emit: Emit) -> Mapping[str, Any]:
        pool = self._owned("evict", "mesh evict")
        id = NodeId(parse_id(args["member"]))
        known = pool.node.member(id)
        before = set(pool.node.keys())
        pool.driver.command(pool.node.evict, id)
        result: EvictResult = {
            "id": id_text(id),
            "name": known.record.profile.name if known is not None and known.record is not None else "",
            "fallen": [id_text(gone) for gone in sorted(before - set(pool.node.keys())) if gone != id],
        }
        return result
