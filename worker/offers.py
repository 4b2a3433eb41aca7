"""What each device of this machine lends: by default most of what is free, else what a person says. Pure.

The same memory is never lent twice. A GPU that has none of its own takes from the machine's, and the
processor lends what is left of that. In a machine with GPUs some RAM stays for their drivers and for the
buffers by which weights pass into them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mesh.engine.backends.cpu import CPU
from mesh.engine.devices import EngineDevice
from mesh.wire.amounts import size_text
from mesh.wire.errors import MeshError
from mesh.wire.profile import MAX_DEVICES
from worker.hardware import MachineMemory
from worker.memory_option import PROCESSOR, MemoryOption, named, parse_memory, parts

GPU_NEEDS: Final = 1 << 30
"""Bytes of RAM that each GPU with memory of its own keeps: its driver, its rpc-server, buffers on the way."""
SHARE_OF_RAM: Final = 0.8
SHARE_OF_GPU: Final = 0.92
LEAST: Final = 64 << 20
"""Bytes that a device lends by default, or nothing at all: less holds no layer with its buffers."""
_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Offer:
    """A device that is lent: ``name`` in the record, ``device`` as the engine calls it; memory in bytes."""

    name: str
    device: str
    kind: str
    description: str
    total: int
    offered: int
    free: int | None = None
    """Bytes that were free when the engine was asked, of a GPU with memory of its own."""


@dataclass(frozen=True, slots=True)
class Offers:
    """``lent`` in the engine's order, GPUs first; ``notes`` say in words what is held back, and why."""

    lent: tuple[Offer, ...] = ()
    notes: tuple[str, ...] = ()


def offers(devices: Sequence[EngineDevice], memory: MachineMemory, option: MemoryOption | None) -> Offers:
    """What is lent of ``devices``, of a machine with so much memory within its limits.

    Raises MeshError where the option names what is not there, or more than there is.
    """
    devices = sorted(devices, key=lambda device: device.is_processor)
    wanted = _by_name(devices, memory, option)
    _refuse_too_much(devices, memory, wanted)
    gpus = [device for device in devices if not device.is_processor]
    kept = GPU_NEEDS * sum(not gpu.unified and wanted.get(gpu.name.lower()) != 0 for gpu in gpus)
    ram = _ram(devices, memory, wanted, kept)
    lent: list[Offer] = []
    for gpu in gpus:
        size = wanted.get(gpu.name.lower())
        if size is None:
            size = _default(gpu, ram)
            ram -= size if gpu.unified else 0
        lent += [_offer(gpu, size)] if size else []
    lent += _of_processor(devices, memory, wanted, ram)
    notes = _notes(devices, lent, wanted, kept)
    return Offers(tuple(lent[:MAX_DEVICES]), (*notes, *_beyond(lent)))


def shares_one_memory(devices: Sequence[EngineDevice]) -> bool:
    """Whether all devices have the machine's memory, so that one amount says it all."""
    return all(device.is_processor or device.unified for device in devices)


def there(devices: Sequence[EngineDevice], memory: MachineMemory) -> str:
    """What there is, in words: such as ``CUDA0 (24.0 GiB), CPU (64.0 GiB)``."""
    return ", ".join(f"{device.name} ({size_text(_most(device, memory))})" for device in devices)


def _by_name(
    devices: Sequence[EngineDevice], memory: MachineMemory, option: MemoryOption | None
) -> dict[str, int]:
    """Bytes by the device's name in small letters."""
    if option is None:
        return {}
    names = [device.name.lower() for device in devices]
    option = parse_memory(str(option))  # a person may have edited the file of remembered options
    if isinstance(option, int):
        if len(devices) > 1 and not shares_one_memory(devices):
            raise MeshError(
                f"this machine has several devices: {there(devices, memory)}",
                f"say how much of each: --memory {_example(devices, memory)}; 0 lends nothing of one",
            )
        if option > memory.total and shares_one_memory(devices):
            raise _too_much(option, "this machine", memory.total, devices, memory)
        return _spread(devices, memory, option)
    wanted = named(option)
    known = {*names, *(parts(wanted) if PROCESSOR in names else [])}
    for name in wanted:
        if name not in known:
            raise MeshError(
                f"--memory names {name}, and there is no such device here",
                f"there are: {there(devices, memory)}",
            )
    return wanted


def _spread(devices: Sequence[EngineDevice], memory: MachineMemory, amount: int) -> dict[str, int]:
    """So much of the one memory that all devices share: the first takes what it can, the next the rest.

    A rest that holds no layer is not lent.
    """
    wanted = {}
    for device in devices[:-1]:
        wanted[device.name.lower()] = min(amount, _most(device, memory))
        amount -= wanted[device.name.lower()]
    spare = amount if amount >= LEAST or not wanted else 0
    return {**wanted, devices[-1].name.lower(): spare} if devices else {}


def _refuse_too_much(
    devices: Sequence[EngineDevice], memory: MachineMemory, wanted: Mapping[str, int]
) -> None:
    """Raise MeshError for more than there is: of each device, and of the machine's memory in sum."""
    for device in devices:
        asked, most = wanted.get(device.name.lower(), 0), _most(device, memory)
        if asked > most:
            what = "this machine" if len(devices) == 1 else device.name
            raise _too_much(asked, what, most, devices, memory)
    promised = _promised(devices, wanted)
    if promised > memory.total:
        sharers = [device.name for device in devices if device.unified] + parts(wanted)
        raise MeshError(
            f"--memory offers {size_text(promised)}, and this machine has {size_text(memory.total)}",
            f"{', '.join(sharers)} share that: give them less",
        )


def _too_much(
    asked: int, what: str, most: int, devices: Sequence[EngineDevice], memory: MachineMemory
) -> MeshError:
    return MeshError(
        f"--memory offers {size_text(asked)}, and {what} has {size_text(most)}",
        f"offer what is free: --memory {_example(devices, memory)}, or leave it out",
    )


def _promised(devices: Sequence[EngineDevice], wanted: Mapping[str, int]) -> int:
    """Bytes of the machine's memory that the option names."""
    of_machine = [device.name.lower() for device in devices if device.is_processor or device.unified]
    return sum(wanted.get(name, 0) for name in (*of_machine, *parts(wanted)))


def _most(device: EngineDevice, memory: MachineMemory) -> int:
    if device.is_processor:
        return memory.total
    return min(device.most, memory.total) if device.unified else device.most


def _ram(devices: Sequence[EngineDevice], memory: MachineMemory, wanted: Mapping[str, int], kept: int) -> int:
    """Bytes of the machine's memory that may be lent without a word."""
    return max(0, int(memory.available * SHARE_OF_RAM) - _promised(devices, wanted) - kept)


def _default(device: EngineDevice, ram: int) -> int:
    """What a device lends without a word, in whole MiB."""
    if device.is_processor:
        size = ram
    else:
        size = int(min(device.free, device.total) * SHARE_OF_GPU)
        size = min(size, ram) if device.unified else size
    return size // _MIB * _MIB if size >= LEAST else 0


def _of_processor(
    devices: Sequence[EngineDevice], memory: MachineMemory, wanted: Mapping[str, int], ram: int
) -> list[Offer]:
    processor = next((device for device in devices if device.is_processor), None)
    if processor is None:
        return []
    whole = EngineDevice(processor.name, CPU.name, processor.description, memory.total, memory.available)
    if divided := parts(wanted):
        return [_offer(whole, wanted[name], name) for name in divided]
    size = wanted.get(PROCESSOR)
    size = _default(processor, ram) if size is None else size
    return [_offer(whole, size)] if size else []


def _offer(device: EngineDevice, size: int, name: str = "") -> Offer:
    free = None if device.is_processor or device.unified else min(device.free, device.total)
    return Offer(name or device.name, device.name, device.kind, device.description, device.total, size, free)


def _notes(
    devices: Sequence[EngineDevice], lent: Sequence[Offer], wanted: Mapping[str, int], kept: int
) -> list[str]:
    """Why devices lend nothing, and what is kept of the machine's memory."""
    used = {offer.device for offer in lent}
    notes = []
    for device in devices:
        if device.name in used or wanted.get(device.name.lower()) == 0:
            continue
        owner = next((one.name for one in devices if one.unified and one.name in used), None)
        if device.is_processor and owner:
            notes.append(f"{device.name} lends nothing: its memory is {owner}'s too, and lent there")
        else:
            notes.append(f"{device.name} lends nothing: too little of its memory is free")
    gpus = [device.name for device in devices if not device.is_processor and not device.unified]
    if kept and wanted.get(PROCESSOR) is None and not parts(wanted):
        notes.append(
            f"{size_text(kept)} of RAM stays for {' and '.join(gpus)}: drivers, and weights on their way"
        )
    return notes


def _beyond(lent: Sequence[Offer]) -> list[str]:
    left = [offer.name for offer in lent[MAX_DEVICES:]]
    return [f"{', '.join(left)} lends nothing: a machine lends {MAX_DEVICES} devices"] if left else []


def _example(devices: Sequence[EngineDevice], memory: MachineMemory) -> str:
    """The option that lends what would be lent without it, rounded down so that it can be read."""
    usual = {offer.name: offer.offered for offer in offers(devices, memory, None).lent}
    if len(devices) == 1 or shares_one_memory(devices):
        return _round_text(sum(usual.values()) or LEAST)
    return ",".join(f"{one.name.lower()}={_round_text(usual.get(one.name, 0))}" for one in devices)


def _round_text(size: int) -> str:
    if size == 0:
        return "0"
    return f"{size >> 30}G" if size >= 1 << 30 else f"{max(1, size >> 20)}M"
