"""Numbers of layers that an owner fixes, as a deployment says them. Pure.

Those of whole members are a field of the deployment. Those of single devices are options of it, one a member:
``l.MEMBER``, in base64, with ``DEVICE=N,DEVICE=N``. A program of wire version 2 does not read these; a
member has one device for it.
"""

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Final

from leader.placement.cost import DeviceKey
from mesh.wire.errors import MeshError
from mesh.wire.facts import Deployment, DeploymentOptions
from mesh.wire.identity import NodeId

PREFIX: Final = "l."
VALUE_BYTES: Final = 64
_ID_BYTES: Final = 16
_NUMBERED: Final = re.compile(r".+=[0-9]{1,5}")
MOST_OPTIONS: Final = 4
"""Members of which single devices are fixed; a deployment has room for 16 options of all kinds."""


def layers_of(deployment: Deployment) -> dict[DeviceKey, int]:
    """The numbers by device; a key without a device's name stands for all devices of a member."""
    found: dict[DeviceKey, int] = {(bytes(member), ""): count for member, count in deployment.layers}
    for key, value in deployment.options:
        if key.startswith(PREFIX):
            found |= _devices(key.removeprefix(PREFIX), value)
    return found


def of_members(fixed: Mapping[DeviceKey, int]) -> tuple[tuple[NodeId, int], ...]:
    """The numbers that are of whole members, as a deployment's field."""
    return tuple((NodeId(member), count) for (member, device), count in sorted(fixed.items()) if not device)


def with_devices(options: DeploymentOptions, fixed: Mapping[DeviceKey, int]) -> DeploymentOptions:
    """The options with the numbers that are of single devices in place of former ones.

    Raises MeshError for more than a deployment has room for.
    """
    told = {key: value for key, value in options if not key.startswith(PREFIX)}
    named: dict[str, str] = {}
    for (member, device), count in sorted(fixed.items()):
        if device:
            key = PREFIX + urlsafe_b64encode(member).decode().rstrip("=")
            named[key] = f"{named[key]},{device}={count}" if key in named else f"{device}={count}"
    if len(named) > MOST_OPTIONS or any(len(value.encode()) > VALUE_BYTES for value in named.values()):
        raise MeshError(
            "--layers names too many single devices",
            "give whole machines numbers, NAME=N, and the fastest devices are filled first",
        )
    return tuple(sorted({**told, **named}.items()))


def _devices(member: str, value: str) -> dict[DeviceKey, int]:
    """The numbers of one member's devices; what an owner's program wrote otherwise is left out."""
    try:
        id = urlsafe_b64decode(member + "==")
    except (ValueError, binascii.Error):
        return {}
    told = [one.rpartition("=") for one in value.split(",") if _NUMBERED.fullmatch(one)]
    return {(id, device): int(count) for device, _, count in told} if len(id) == _ID_BYTES else {}
