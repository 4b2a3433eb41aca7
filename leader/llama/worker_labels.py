"""What llama-server calls the devices behind tunnels, and which of them refused memory. Pure.

Its words are told to people with the members' names in place of its own labels, which name its ends of
tunnels. Whom it blames is read from its log alone, never from a reason: a member's words and name may be in
that, and would blame another.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from leader.placement.cost import DeviceKey
from leader.placement.rpc_groups import RpcGroup

_LABEL: Final = re.compile(r"RPC(\d{1,3})\[([^\]\s]+)\]")
"""The number of a device among those of one rpc-server, and that rpc-server's end of a tunnel."""
_REFUSED: Final = re.compile(
    rf"(?:[\d.]+ E )?\w+: (?:error loading model: )?(?:failed|unable) to allocate {_LABEL.pattern} buffer"
    r"(?: of size (\d{1,20}))?"
)
"""A whole line of the log of a load: of weights, context or computing."""
_GOES_ON: Final = "retrying without pipeline parallelism"
"""Then it was refused what it can do without."""


def refused_memory(
    lines: Iterable[str], endpoints: Mapping[RpcGroup, str], planned: Mapping[DeviceKey, int]
) -> RpcGroup | None:
    """The rpc-server, with the one device, that had not the memory asked of it last; None for none.

    Where more was asked at once than ``planned``, in bytes by device, the plan is at fault, and nobody else.
    """
    refused, beyond = None, False
    for line in lines:
        found = _REFUSED.fullmatch(line.strip())
        if found and (labelled := _labelled(found, endpoints)):
            refused = labelled
            beyond = beyond or int(found[3] or 0) > planned.get(labelled.keys[0], 0)
        elif _GOES_ON in line:
            refused, beyond = None, False
    return None if beyond else refused


def with_names(text: str, endpoints: Mapping[RpcGroup, str], names: Mapping[DeviceKey, str]) -> str:
    """``text`` with the devices' names in place of llama-server's labels, where they are known."""

    def name(found: re.Match[str]) -> str:
        labelled = _labelled(found, endpoints)
        return found[0] if labelled is None else names.get(labelled.keys[0], found[0])

    return _LABEL.sub(name, text)


def _labelled(found: re.Match[str], endpoints: Mapping[RpcGroup, str]) -> RpcGroup | None:
    number, endpoint = int(found[1]), found[2]
    for server, at in endpoints.items():
        if at == endpoint and number < len(server.devices):
            return RpcGroup(server.member, (server.devices[number],))
    return None
