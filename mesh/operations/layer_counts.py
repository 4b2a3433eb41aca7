"""Numbers of layers that a person fixes by names (``--layers NAME=N,NAME/DEVICE=N``), by devices."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from leader.placement.cost import DeviceKey
from mesh.wire.errors import MeshError


class Machine(NamedTuple):
    """What a member, or a described machine, may be called. One that is ``gone`` makes no name ambiguous."""

    id: bytes
    names: tuple[str, ...]
    devices: tuple[str, ...] = ()
    gone: bool = False


def counts_by_device(
    layers: Mapping[str, int] | None, machines: Sequence[Machine], hint: str
) -> dict[DeviceKey, int]:
    """The counts; a key without a device's name stands for a whole machine.

    Raises MeshError for an unknown or ambiguous name (``hint`` says where names are), and for a machine that
    is named as a whole and by its devices.
    """
    fixed: dict[DeviceKey, int] = {}
    for name, count in (layers or {}).items():
        key = _named(name, machines, hint)
        if key in fixed:
            raise MeshError(f"--layers names {name} twice", "give it one number")
        fixed[key] = count
    for id, device in fixed:
        if device and (id, "") in fixed:
            [name] = [machine.names[-1] for machine in machines if machine.id == id]
            raise MeshError(
                f"--layers names {name} as a whole and its device {device}",
                "give it one number, or each of its devices its own",
            )
    return fixed


def _named(name: str, machines: Sequence[Machine], hint: str) -> DeviceKey:
    """The machine, or the device of one: names may have a slash, and devices' names have none."""
    if (machine := _machine(name, machines, hint)) is not None:
        return machine.id, ""
    before, _, device = name.rpartition("/")
    machine = _machine(before, machines, hint) if before else None
    if machine is None:
        raise MeshError(f"no member is called {before or name}", hint)
    for known in machine.devices:
        if known.lower() == device.lower():
            return machine.id, known
    has = f"it has {', '.join(machine.devices)}" if machine.devices else f"it has one: type {before}=N"
    raise MeshError(f"{before} has no device {device}", has)


def _machine(name: str, machines: Sequence[Machine], hint: str) -> Machine | None:
    same = [machine for machine in machines if name in machine.names]
    named = [machine for machine in same if not machine.gone] or same
    if len(named) > 1:
        raise MeshError(f"several members are called {name}", hint)
    return named[0] if named else None
