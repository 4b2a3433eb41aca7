"""How much memory each node of the demo lends, so that it takes all of them, and all but the leader after."""

from pathlib import Path
from typing import Final, NamedTuple

from leader.model.engine_settings import EngineSettings
from leader.placement.cost import Demand, Device, demand
from leader.placement.reading import read_model
from mesh.tools.demo.step_failed import StepFailed

LEADERS_LAYERS: Final = 4
"""Layers for which the first leader has room, beside what llama-server itself takes."""
SPARE_LAYERS: Final = 3
"""Layers for which the others together have more room than they need when they are alone."""
_GRAIN: Final = 1 << 20


class LentMemory(NamedTuple):
    """Bytes: what the model needs in all, what the first leader lends, and what each of the others lends."""

    needed: int
    leader: int
    other: int


def lent_memory(model: Path, context: int) -> LentMemory:
    """Too little of each for the model, with one slot of ``context`` tokens. Blocks for a moment.

    The leader and one other have too little together, if the model allows that. The two others have enough,
    for one of them is to lead without the first.
    """
    return lend(demand(read_model(model), EngineSettings(context), batch=1))


def lend(wants: Demand) -> LentMemory:
    """As `lent_memory`, by what the model asks of a device."""
    host = wants.overhead(_device(local=True))
    worker = wants.overhead(_device(local=False))
    layers, largest = sum(wants.layers), max(wants.layers)
    other = (host + worker + wants.head + layers + SPARE_LAYERS * largest) // 2
    leader = host + LEADERS_LAYERS * largest
    alone = host + wants.head + layers
    if max(leader, other) >= alone:
        raise StepFailed("the model is too small to be split over the demo's nodes")
    return LentMemory(alone, _whole(leader), _whole(other))


def _device(local: bool) -> Device:
    return Device(b"", "", 0, 0.0, local=local)


def _whole(size: int) -> int:
    """Rounded up to a number that a person reads easily."""
    return -(-size // _GRAIN) * _GRAIN
