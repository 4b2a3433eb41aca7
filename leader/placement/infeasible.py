"""Why a model cannot be placed, for people. Pure."""

from collections.abc import Mapping, Sequence

from leader.model.model_info import ModelInfo
from leader.placement.cost import MAX_DEVICES, Demand, Device, DeviceKey
from mesh.wire.amounts import size_text
from mesh.wire.errors import MeshError


class Infeasible(MeshError):
    """No placement exists; the message says how much is missing and what each device offered.

    ``missing`` is in bytes, 0 if memory is not what is missing.
    """

    def __init__(self, message: str, hint: str = "", missing: int = 0) -> None:
        super().__init__(message, hint)
        self.missing = missing


def refuse_absent(devices: Sequence[Device], fixed: Mapping[DeviceKey, int]) -> None:
    """Raise Infeasible where what is to hold layers is not among the devices: others would get them."""
    there = {key for device in devices for key in (device.key, (device.member, ""))}
    for key, count in fixed.items():
        if count and key not in there:
            what = f"the device {key[1]}" if key[1] else "a machine"
            raise Infeasible(
                f"{what} that is to hold {count} of the layers cannot be used now",
                "wait for it, or leave it out of --layers",
            )


def infeasible(
    model_info: ModelInfo,
    wants: Demand,
    devices: Sequence[Device],
    fixed: Mapping[DeviceKey, int],
    otherwise: bool,
) -> Infeasible:
    """Says what is missing: of the fixed numbers, of the head's room, or of memory.

    ``otherwise``: it can be placed without the fixed numbers.
    """
    for key, count in fixed.items():
        held = [device for device in devices if key in (device.key, (device.member, ""))]
        if held and count > sum(wants.most(device) for device in held):
            return _too_many(wants, key, held, count)
    if otherwise:
        return Infeasible(
            f"the numbers of layers that were asked for leave no way to place all {wants.n_layers}",
            "the numbers have to add up, and to leave room for the head, of "
            f"{size_text(wants.head)}, at the leader or at the end; or leave a member out of --layers",
        )
    offers = ", ".join(
        f"{device.name} {size_text(device.memory_offered)} ({_holds(wants, device)})" for device in devices
    )
    total = sum(wants.layers) + wants.head
    missing = sum(wants.layers[_reached(wants, devices) :]) or wants.head
    return Infeasible(
        f"{model_info.name} needs {size_text(total)} for its {wants.n_layers} layers, context and head: "
        f"{size_text(missing)} are missing; offered: {offers}",
        "let more machines join, raise --memory, or serve with a smaller --ctx or with --kv q8_0",
        missing,
    )


def _too_many(wants: Demand, key: DeviceKey, devices: Sequence[Device], count: int) -> Infeasible:
    """A device, or a member with all its devices, holds fewer layers than were asked for."""
    name = devices[0].name if key == devices[0].key else devices[0].member_name
    if count > wants.n_layers:
        return Infeasible(
            f"{name} is to hold {count} layers, but the model has {wants.n_layers}",
            f"give {name} at most {wants.n_layers} with --layers",
        )
    sums = wants.sums
    least = min(sums[first + count] - sums[first] for first in range(wants.n_layers - count + 1))
    needed = least + sum(wants.overhead(device) for device in devices)
    offered = sum(device.memory_offered for device in devices)
    return Infeasible(
        f"{name} cannot hold {count} layers: they need {size_text(needed)}, it offers {size_text(offered)}",
        f"give {name} fewer, or let it offer more, with mesh join --memory there",
        missing=max(1, needed - offered),
    )


def _holds(wants: Demand, device: Device) -> str:
    most = wants.most(device)
    if most > 0:
        equal = len(set(wants.layers)) == 1
        layers = "1 layer" if most == 1 else f"{most} layers"
        return f"holds {layers}" if equal else f"holds at most {layers}"
    smallest = wants.overhead(device) + min(wants.layers)
    return f"too little: one layer needs {size_text(smallest)}"


def _reached(wants: Demand, devices: Sequence[Device]) -> int:
    """How many layers can be placed at least, one device after another, the largest last or first."""
    hosts = [device for device in devices if device.host]
    others = sorted((one for one in devices if not one.host), key=lambda one: wants.room(one, head=False))
    most = 0
    for order in (others[-MAX_DEVICES:], others[: -MAX_DEVICES - 1 : -1]):
        reached = 0
        for device in (*hosts, *order):
            reached += max(0, wants.capacity(device, head=False, first=reached))
        most = max(most, reached)
    return most
