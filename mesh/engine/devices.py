"""What holds layers on this machine, as the engine that was built says: names, kinds and memory of devices.

Asked of ``ggml-rpc-server -d ?`` in the environment and the confinement that rpc-server will have: what hides
cards from the engine, as CUDA_VISIBLE_DEVICES does, hides them here, and a driver's heaps come out as the
engine will use them. `devices_in` is pure and reads the answer; `ask` gets it.
"""

import os
import re
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Final

import psutil
import trio

from mesh.engine.backends.backend_table import kind_of_device
from mesh.engine.backends.cpu import CPU
from mesh.engine.backends.metal import METAL
from mesh.engine.backends.vulkan import VULKAN
from mesh.engine.engine_errors import EngineError
from mesh.engine.process.child import Process
from mesh.engine.process.reach import reach
from mesh.engine.sandbox.confinement import Confinement, environment
from mesh.engine.sandbox.isolation import isolation
from mesh.engine.types import Engine

ASK_SECONDS: Final = 30.0
"""For an answer: a driver may take seconds to start."""
PROCESSOR: Final = "CPU"
"""The engine's name of the processor."""
_MOST_LINES: Final = 400
_MIB: Final = 1 << 20
_ENGINE: Final = 0
"""Its number among a sidecar's engines: that of rpc-server, which is not started before it was asked."""
_DEVICE: Final = re.compile(r"^ {2}(([A-Za-z_]+)\d*): (.*) \((\d{1,15}) MiB, (\d{1,15}) MiB free\)\s*$")
_VULKAN: Final = re.compile(r"^ggml_vulkan: (\d+) = .*\| uma: (\d)")
_SOFTWARE: Final = "Device type is CPU"
"""What the engine says after a Vulkan device that the processor plays."""


@dataclass(frozen=True, slots=True)
class EngineDevice:
    """A device of the engine's: ``name`` and ``description`` are its own, ``kind`` is of the backend table.

    ``total`` and ``free`` are bytes as the engine has them; for the processor they ignore limits and use.
    ``unified``: its memory is the machine's.
    """

    name: str
    kind: str
    description: str
    total: int = 0
    free: int = 0
    unified: bool = False

    @property
    def is_processor(self) -> bool:
        return self.kind == CPU.name

    @property
    def most(self) -> int:
        """Bytes that can be lent of it at all. A card with managed memory may have more free than it has."""
        return max(self.total, self.free) if self.unified else self.total


@dataclass(frozen=True, slots=True)
class MachineRam:
    """The machine's whole memory in bytes, without regard to limits: as a driver sees it."""

    total: int
    available: int


def processor_alone(description: str) -> tuple[EngineDevice, ...]:
    """What every engine has; for when it could not be asked."""
    return (EngineDevice(PROCESSOR, CPU.name, description),)


async def ask(engine: Engine) -> tuple[tuple[EngineDevice, ...], tuple[str, ...]]:
    """The engine's devices in its order, and the names of those that are not used.

    Takes half a minute at most. Raises EngineError where it does not say.
    """
    await trio.to_thread.run_sync(isolation, abandon_on_cancel=True)  # which remembers what it found
    machine = isolation()
    wanted = machine.applied(Confinement(device=engine.backend != CPU.name), _ENGINE)
    lines: deque[str] = deque(maxlen=_MOST_LINES)
    with closing(reach(wanted, machine.cells)) as made, trio.move_on_after(ASK_SECONDS) as limit:
        command = made.confinement.command([str(engine.rpc_server.resolve()), "-d", "?"])
        try:
            process = Process(command, environment=environment(os.environ), descriptors=made.descriptors)
        except OSError as error:
            raise EngineError(f"{engine.rpc_server} cannot be started: {error.strerror or error}") from error
        made.started(process.pid)
        await process.run(lines.append, grace=0.5)
    if limit.cancelled_caught:
        raise EngineError(
            f"{engine.rpc_server.name} did not list its devices within {ASK_SECONDS:.0f} s",
            "a driver may hang: mesh logs shows more, MESH_BACKEND=cpu does without it",
        )
    ram = psutil.virtual_memory()
    devices, unused = devices_in(lines, MachineRam(ram.total, ram.available))
    if not devices:
        told = next((line.strip() for line in reversed(lines) if line.strip()), "nothing")
        raise EngineError(
            f"{engine.rpc_server.name} lists no device that is known; it said: {told[:200]}",
            "mesh logs shows more, MESH_BACKEND=cpu does without an accelerator",
        )
    return devices, unused


def devices_in(lines: Iterable[str], ram: MachineRam) -> tuple[tuple[EngineDevice, ...], tuple[str, ...]]:
    """The devices that ``ggml-rpc-server -d ?`` lists, and the names of those that are of no known kind.

    A card that two backends of one engine list is told once, as the better backend's.
    """
    found: list[EngineDevice] = []
    unused: list[str] = []
    shared: set[str] = set()
    vulkan = ""
    for line in lines:
        if told := _VULKAN.match(line):
            vulkan = f"{VULKAN.devices[0]}{told[1]}"
            if told[2] != "0":
                shared.add(vulkan)
        elif _SOFTWARE in line and vulkan:
            shared.add(vulkan)
        elif listed := _DEVICE.match(line):
            name, letters, description, total, free = listed.groups()
            kind = CPU if name == PROCESSOR else kind_of_device(letters)
            if kind is None:
                unused.append(name)
            else:
                device = EngineDevice(name, kind.name, description, int(total) * _MIB, int(free) * _MIB)
                found.append(replace(device, unified=name in shared or _shares(device, ram)))
    once = _once(found)
    unused += [device.name for device in found if device not in once]
    return tuple(once), tuple(unused)


def _shares(device: EngineDevice, ram: MachineRam) -> bool:
    """Whether its memory is the machine's, where only the numbers tell.

    For integrated GPUs under CUDA and ROCm, and for managed memory, the engine tells what Linux calls
    available as free. It may then be more than the card has; else the total is the machine's to a hundredth.
    """
    if device.kind == METAL.name:
        return True
    if device.is_processor or device.kind == VULKAN.name:
        return False
    alike = abs(device.total - ram.total) <= ram.total // 100
    return device.free > device.total or (alike and abs(device.free - ram.available) <= ram.total // 20)


def _once(devices: Sequence[EngineDevice]) -> list[EngineDevice]:
    """Without the Vulkan devices of cards that another backend lists; Vulkan's names go on longer."""
    others = [one for one in devices if one.kind not in (CPU.name, VULKAN.name)]
    kept = []
    for device in devices:
        called = device.description.lower()
        same = [one for one in others if called.startswith(one.description.lower())]
        if device.kind == VULKAN.name and same:
            others.remove(max(same, key=lambda one: len(one.description)))
        else:
            kept.append(device)
    return kept
