"""Which rpc-server had not the memory that llama-server asked of it, as its last words say. Pure."""

import re
from collections.abc import Mapping

from leader.placement.rpc_groups import RpcGroup

_REFUSED = re.compile(r"\ballocate RPC(\d{1,3})\[([^\]\s]+)\]")
"""The number of a device among those of one rpc-server, and that rpc-server's end of a tunnel."""


def refused_memory(reason: str, endpoints: Mapping[RpcGroup, str]) -> RpcGroup | None:
    """The rpc-server with that device alone; None where ``reason`` names none of ``endpoints``."""
    found = _REFUSED.search(reason)
    if found is None:
        return None
    number, endpoint = int(found[1]), found[2]
    for server, at in endpoints.items():
        if at == endpoint and number < len(server.devices):
            return RpcGroup(server.member, (server.devices[number],))
    return None
