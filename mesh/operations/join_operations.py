"""`mesh join` and `mesh leave`: into a pool, in whichever way there is, and out of it."""

import os
from typing import Literal

import trio

from mesh.admission.approval_joiner import await_approval
from mesh.admission.handshake import Admitted, Uninvited
from mesh.admission.invites import Token
from mesh.admission.search import Say, Search
from mesh.control.operations import JoinArgs, JoinResult, LeaveArgs, LeaveResult
from mesh.member.lone_member import out_of_reach
from mesh.member.stay import Stay
from mesh.net.resolve import resolve
from mesh.operations.home import EmitEvent, Home, joined_pool
from mesh.protocol.membership.peers import MemberState
from mesh.protocol.node.node import Node
from mesh.runtime import status as views
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError
from mesh.wire.identity import NodeId
from mesh.wire.rights import ALL_RIGHTS, Rights

FIRST_INVITE_SECONDS = 24 * 3600.0
ELECTION_SECONDS = 5.0

How = Literal["founded", "joined", "member"]


class JoinOperations:
    """Makes this machine a member, and ends that."""

    def __init__(self, home: Home) -> None:
        self._home = home

    async def join(self, args: JoinArgs, emit: EmitEvent) -> JoinResult:
        async def say(text: str) -> None:
            await emit({"text": text})

        async with self._home.joining:
            how: How = "member" if await self._already(args, say) else await self._enter(args, say)
            pool = joined_pool(self._home)
            await self._await_leader(pool.node)
            return self._joined(pool, how)

    async def leave(self, args: LeaveArgs, emit: EmitEvent) -> LeaveResult:
        home, pool = self._home, joined_pool(self._home)
        result: LeaveResult = {"pool": views.pool(pool.id, pool.name), "pid": os.getpid()}
        await emit({"text": f"leaving pool {pool.name}"})
        home.leaving = True
        await home.leave_pool(forget=True)
        home.purge = args.get("purge", False)
        home.stopping.set()
        return result

    async def _already(self, args: JoinArgs, say: Say) -> bool:
        """Whether this machine is already where it should be.

        MeshError when it is in another pool, `OtherVersion` when it can speak with no member that answers.
        """
        pool = self._home.pool
        if pool is None:
            return False
        elsewhere = args.get("found", False)
        if "token" in args:
            elsewhere = Token.parse(args["token"]).pool != pool.id
        elif "host" in args:
            machine = self._home.machine
            there = await Search.of(machine, say).pool_at(await resolve(args["host"], machine.port))
            elsewhere = there != pool.id
        if elsewhere:
            raise MeshError(f"this machine already belongs to pool {pool.name}", "leave it first: mesh leave")
        apart = await out_of_reach(self._home.machine, pool.driver)
        if apart is not None:
            name = None if apart.peer is None else _name(pool.node, apart.peer)
            wait = f"meanwhile this machine stays in pool {pool.name}, and is back in company then by itself"
            raise apart.of(name or apart.where, wait)
        return True

    async def _enter(self, args: JoinArgs, say: Say) -> How:
        """Join at the named host or by the token, else a pool that is found, else found one."""
        home, machine = self._home, self._home.machine
        search = Search.of(machine, say)
        token = Token.parse(args["token"]) if "token" in args else None
        attended = args.get("terminal", False)
        admitted: Admitted | None = None
        if "host" in args:
            there = await resolve(args["host"], machine.port)
            admitted = await _at_host(search, there, token, attended)
        elif token is not None:
            admitted = await search.by_token(token)
        elif not args.get("found"):
            admitted = await _anywhere(search, attended)
        if admitted is not None:
            await home.admit(admitted)
            return "joined"
        await say("founding a pool")
        await home.found()
        return "founded"

    async def _await_leader(self, node: Node) -> None:
        """Wait until a member leads, or for as long as an election may take."""
        changes = self._home.machine.changes
        seen = changes.count
        with trio.move_on_after(ELECTION_SECONDS):
            while (claim := node.leader()) is None or node.member(claim.author) is None:
                seen = await changes.wait(seen, ELECTION_SECONDS)

    def _joined(self, pool: Stay, how: How) -> JoinResult:
        node, keeper = pool.node, self._home.machine.keeper
        token = self._invite_for_the_next(pool, how)
        return {
            "how": how,
            "pool": views.pool(pool.id, pool.name),
            "self": views.self_status(node),
            "members": sum(member.state is MemberState.ALIVE for member in node.members()),
            "accelerator": keeper.accelerator(),
            "engine": keeper.status(),
            "leader": views.leader(node),
            "api": pool.api,
            "listen": pool.listen,
            "token": None if token is None else token.text(),
            "rights": node.rights(node.id).names(),
        }

    def _invite_for_the_next(self, pool: Stay, how: How) -> Token | None:
        """The invite for any number of machines, which a founder makes at once; other owners may have one."""
        node = pool.node
        if Rights.OWN not in node.rights(node.id):
            return None
        hints = pool.driver.endpoints(node.id)
        token = pool.invites.unlimited(pool.id, node.id, hints)
        if token is None and how == "founded":
            token = pool.invites.create(pool.id, node.id, hints, ALL_RIGHTS, FIRST_INVITE_SECONDS, None)
        return token


def _name(node: Node, id: NodeId) -> str | None:
    """A member's name, if this machine has seen its record since it started."""
    member = node.member(id)
    return member.record.profile.name if member and member.record else None


async def _at_host(search: Search, there: Endpoint, token: Token | None, attended: bool) -> Admitted:
    """Ask that machine; with a person at the terminal, wait for an approval where it takes one."""
    try:
        return await search.by_host(there, token)
    except Uninvited as refused:
        if not attended or token is not None:
            raise
        await search.say(refused.message)
        return await await_approval(search, lambda: {None: [there]})


async def _anywhere(search: Search, attended: bool) -> Admitted | None:
    """The same on the tailnet and the local network."""
    try:
        return await search.anywhere()
    except Uninvited as refused:
        if not attended or not search.lan_endpoints():
            raise
        await search.say(f"{refused.message}; to found another: mesh join --found")
        return await await_approval(search, search.lan_endpoints)
