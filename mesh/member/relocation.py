"""A founder still alone, without deployment, moves to a pool of its owner's that admits it."""

import logging

import trio

from mesh.admission.admission_server import AdmissionServer
from mesh.admission.handshake import Admitted
from mesh.admission.search import Search
from mesh.protocol.node.node import Node
from mesh.runtime.node_context import NodeContext
from mesh.wire.errors import MeshError

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0


async def find_company(
    context: NodeContext, admission_server: AdmissionServer, node: Node
) -> Admitted | None:
    """Look until a better pool has admitted this machine. None: no source can prove an owner."""
    search = Search.of(context, _log_line)
    while context.discovery.owning:
        await trio.sleep(LOOK_SECONDS * (0.5 + (node.id[0] / 255)))
        if not admission_server.alone():
            continue
        client = await search.better_pool()
        if client is None:
            continue
        admitted = None
        admission_server.moving = True
        try:
            with trio.fail_after(LOOK_SECONDS):
                if len(node.members()) == 1:
                    admitted = await client.ask(context.identity, context.options.name, None)
        except (MeshError, trio.TooSlowError) as error:
            log.info("not moving to %s: %s", client.greeting.pool_name, error)
        finally:
            # Once admitted elsewhere this machine admits no others, for the stay is about to end.
            admission_server.moving = admitted is not None
            await client.aclose()
        if admitted is not None:
            return admitted
    return None


async def _log_line(text: str) -> None:
    log.info("%s", text)
