"""Why a member is alone: the others that answer may speak no wire version of this machine any more."""

import logging

import trio

from mesh.net.session import StreamError, StreamRefused
from mesh.net.stream_kinds import StreamKind
from mesh.net.versions_preface import OtherVersion
from mesh.protocol.membership.peers import PRESENT
from mesh.runtime.node_context import NodeContext
from mesh.runtime.node_driver import NodeDriver
from mesh.wire.endpoint import Endpoint
from mesh.wire.identity import NodeId

log = logging.getLogger(__name__)

ASK_SECONDS = 2.0
ALL_SECONDS = 4.0
ASKED_AT_ONCE = 16


async def out_of_reach(context: NodeContext, driver: NodeDriver) -> OtherVersion | None:
    """Ask the others where they are known to be, within 4 s; the refusal of one that cannot be spoken with.

    None in company, when nobody answers, and when any member answers that this machine can speak with: the
    node finds that one by itself.
    """
    node = driver.node
    others = sorted(node.keys().keys() - {node.id})
    company = [one for one in node.members() if one.id != node.id and one.state in PRESENT]
    if not others or any(member.is_understood for member in company):
        return None
    refusals: dict[NodeId, OtherVersion] = {}
    understood: set[NodeId | None] = set()
    limit = trio.CapacityLimiter(ASKED_AT_ONCE)

    async def ask(endpoint: Endpoint) -> None:
        async with limit:
            try:
                session = await context.streams.open_unproven(endpoint, StreamKind.ADMIT, timeout=ASK_SECONDS)
            except OtherVersion as refused:
                if refused.peer is not None:
                    refusals[refused.peer] = refused
            except StreamRefused as refused:
                understood.add(refused.peer)
            except StreamError as error:
                log.debug("no member at %s: %s", endpoint, error)
            else:
                understood.add(session.peer)
                await session.aclose()

    known = [endpoint for member in others for endpoint in driver.endpoints(member)]
    found = await context.discovery.endpoints(driver.pool, alone=True)
    with trio.move_on_after(ALL_SECONDS):
        async with trio.open_nursery() as nursery:
            for endpoint in dict.fromkeys([*known, *found]):
                nursery.start_soon(ask, endpoint)
    if not understood.isdisjoint(others):
        return None
    return next((refusals[member] for member in others if member in refusals), None)
