"""Which rpc-servers a placement asks for: one for each device, or one for several of a member's. Pure.

The engine numbers devices through all endpoints in order: with a first endpoint of two devices, the second
endpoint's device is RPC2. So who starts llama-server and who opens its tunnels must go by one list.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from leader.placement.cost import Device, DeviceKey


@dataclass(frozen=True, slots=True)
class RpcGroup:
    """One rpc-server: a member's devices that it serves, in its own order.

    An empty name stands for the device of a member that tells of one alone.
    """

    member: bytes
    devices: tuple[str, ...]

    @property
    def keys(self) -> tuple[DeviceKey, ...]:
        """The devices as placement names them."""
        return tuple((self.member, device) for device in self.devices)

    @property
    def named(self) -> tuple[str, ...]:
        """What a tunnel's request says; empty: the member's first device."""
        return tuple(device for device in self.devices if device)


def groups(devices: Iterable[Device], joined: Collection[bytes] = ()) -> tuple[RpcGroup, ...]:
    """The rpc-servers behind a pipeline's ``devices``, each where the pipeline first comes to it.

    The leader's own need none. The members in ``joined`` serve all theirs by one process; every other device
    has a process of its own.
    """
    found: dict[tuple[bytes, str | None], list[str]] = {}
    for device in devices:
        if not device.local:
            shared = None if device.member in joined else device.device
            found.setdefault((device.member, shared), []).append(device.device)
    return tuple(RpcGroup(member, tuple(names)) for (member, _), names in found.items())


def engine_names(servers: Sequence[RpcGroup]) -> Mapping[DeviceKey, str]:
    """What llama-server calls each device when ``--rpc`` lists the servers in this order, as RPC0."""
    keys = [key for server in servers for key in server.keys]
    return {key: f"RPC{number}" for number, key in enumerate(keys)}
