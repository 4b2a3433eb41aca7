"""Which layers go where: subset of devices, counts, head and order together, exactly optimal. Pure.

The search is a table (leader.placement.placement_table). The pipeline's host takes the first layers, the
device with the head comes last. The others stand between them by round trip: their order costs nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leader.model.engine_settings import EngineSettings
from leader.model.model_info import ModelInfo
from leader.placement.cost import (
    MAX_DEVICES,
    Demand,
    Device,
    Range,
    demand,
    entry_seconds,
    head_extra_seconds,
    layers_before,
)
from leader.placement.rpc_groups import RpcGroup, groups
from mesh.wire.amounts import size_text
from mesh.wire.errors import MeshError


class Infeasible(MeshError):
    """No placement exists; the message says how much is missing and what each member offered.

    ``missing`` is in bytes, 0 if memory is not what is missing.
    """

    def __init__(self, message: str, hint: str = "", missing: int = 0) -> None:
        super().__init__(message, hint)
        self.missing = missing


@dataclass(frozen=True, slots=True)
class PlanStage:
    """One device's share: layers ``first`` to ``first + layers - 1``.

    ``bytes`` is memory; seconds are those of one decode step.
    """

    device: Device
    first: int
    layers: int
    head: bool
    bytes: int
    capacity: int  # layers that would fit
    layer_seconds: float  # all of its layers
    link_seconds: float  # round trip and activations
    head_seconds: float

    @property
    def last(self) -> int:
        return self.first + self.layers - 1

    @property
    def span(self) -> tuple[int, int]:
        """First and last layer, inclusive; (1, 0), which is no layer, for the head alone."""
        return (self.first, self.last) if self.layers else (1, 0)

    @property
    def seconds(self) -> float:
        return self.layer_seconds + self.link_seconds + self.head_seconds


@dataclass(frozen=True, slots=True)
class Plan:
    """A placement in pipeline order; ``step_seconds`` is of one decode step.

    The members in ``joined`` serve all their devices by one rpc-server.
    """

    model_info: ModelInfo
    settings: EngineSettings
    objective: str
    stages: tuple[PlanStage, ...]
    step_seconds: float
    batch: int
    joined: frozenset[bytes] = frozenset()

    @property
    def predicted_tokens_per_second(self) -> float:
        return self.batch / self.step_seconds if self.step_seconds else 0.0

    @property
    def workers(self) -> tuple[bytes, ...]:
        """Members reached over the network, in pipeline order."""
        return tuple(dict.fromkeys(server.member for server in self.servers))

    @property
    def servers(self) -> tuple[RpcGroup, ...]:
        """The rpc-servers reached over the network, where the pipeline first comes to each."""
        return groups((stage.device for stage in self.stages), self.joined)

    def explain(self) -> dict[str, Any]:
        """Every term of the decision, for people and scripts.

        Seconds as milliseconds, members by name and id in hex.
        """
        return {
            "model": self.model_info.name,
            "layers": self.model_info.n_layers,
            "context": self.settings.context,
            "slots": self.settings.slots,
            "objective": self.objective,
            "predicted_tokens_per_second": self.predicted_tokens_per_second,
            "milliseconds": self.step_seconds * 1e3,
            "stages": [
                {
                    "member": stage.device.member.hex(),
                    "name": stage.device.name,
                    "layers": [stage.first, stage.last] if stage.layers else None,
                    "head": stage.head,
                    "bytes": stage.bytes,
                    "memory_offered": stage.device.memory_offered,
                    "capacity_layers": stage.capacity,
                    "milliseconds": stage.seconds * 1e3,
                    "terms": {
                        "layers_ms": stage.layer_seconds * 1e3,
                        "link_ms": stage.link_seconds * 1e3,
                        "head_ms": stage.head_seconds * 1e3,
                    },
                }
                for stage in self.stages
            ],
        }


def place(
    model_info: ModelInfo,
    devices: Sequence[Device],
    settings: EngineSettings,
    fixed: Mapping[bytes, int] | None = None,
    objective: str = "latency",
) -> Plan:
    """The fastest placement that fits; raises Infeasible.

    ``fixed`` gives members an exact number of layers (0: none); all others are free. ``objective`` is latency
    (of one stream) or throughput (of all slots together).
    """
    if not devices:
        raise Infeasible(
            "no machine offers memory for layers",
            "let one hold layers, with mesh join --work there, or bring one, with mesh invite",
        )
    if settings.context < 1 or settings.slots < 1:
        asked = f"a context of {settings.context} and {settings.slots} slots"
        raise Infeasible(f"{asked} make no sense", "both are from 1")
    batch = settings.slots if objective == "throughput" else 1
    wants = demand(model_info, settings, batch)
    ordered = sorted(devices, key=lambda device: (not device.host, device.rtt, device.member))
    # It imports numpy, which only a node that plans should load.
    from leader.placement.placement_table import best_counts

    counts = best_counts(model_info, wants, ordered, _ranges(wants, ordered, fixed or {}))
    if counts is None:
        raise _infeasible(model_info, wants, ordered, fixed or {})
    return _plan(model_info, wants, ordered, counts, settings, objective, batch)


def _ranges(wants: Demand, devices: Sequence[Device], fixed: Mapping[bytes, int]) -> list[Range]:
    ranges = []
    for device in devices:
        plain, head = _most(wants, device, head=False), _most(wants, device, head=True)
        if device.member in fixed:
            count = fixed[device.member]
            plain, head = (count if plain >= count else -1), (count if head >= count else -1)
            ranges.append(Range(count, plain, head))
        else:
            ranges.append(Range(0, plain, head))
    return ranges


def _most(wants: Demand, device: Device, head: bool) -> int:
    """How many layers fit wherever they lie; -1 when not even the head alone, or the overhead, fits."""
    room = wants.room(device, head)
    return -1 if room < 0 else min(wants.n_layers, room // max((1, *wants.layers)))


def _plan(
    model_info: ModelInfo,
    wants: Demand,
    devices: Sequence[Device],
    counts: Sequence[tuple[int, bool]],
    settings: EngineSettings,
    objective: str,
    batch: int,
) -> Plan:
    shares = [(device, *count) for device, count in zip(devices, counts, strict=True) if any(count)]
    # The host comes first whatever it holds; of the others, the head's device comes last.
    shares.sort(key=lambda share: (not share[0].host, share[2]))
    before = layers_before(model_info)
    stages: list[PlanStage] = []
    first = 0
    for device, layers, head in shares:
        stages.append(
            PlanStage(
                device=device,
                first=first,
                layers=layers,
                head=head,
                bytes=wants.needed(device, first, layers, head),
                capacity=wants.capacity(device, head, first),
                layer_seconds=device.layer_seconds * (before[first + layers] - before[first]),
                link_seconds=entry_seconds(wants, device),
                head_seconds=head_extra_seconds(model_info, wants, device) if head else 0.0,
            )
        )
        first += layers
    return Plan(model_info, settings, objective, tuple(stages), sum(stage.seconds for stage in stages), batch)


def _infeasible(
    model_info: ModelInfo, wants: Demand, devices: Sequence[Device], fixed: Mapping[bytes, int]
) -> Infeasible:
    """Says what is missing: of the fixed numbers, of the host, of memory, or of devices."""
    offers = ", ".join(
        f"{device.name} {size_text(device.memory_offered)} ({_holds(wants, device)})" for device in devices
    )
    for device in devices:
        count = fixed.get(device.member, 0)
        if count > max(_most(wants, device, head=False), 0):
            needed = wants.needed(device, 0, count, head=False)
            return Infeasible(
                f"{device.name} cannot hold {count} layers: they need {size_text(needed)}, it offers "
                f"{size_text(device.memory_offered)}",
                f"give {device.name} fewer, or let it offer more, with mesh join --memory there",
                missing=needed - device.memory_offered,
            )
    most, head_fits = _most_layers(wants, devices)
    if most >= model_info.n_layers and head_fits:
        return Infeasible(
            f"the numbers of layers that were asked for leave no way to place all {model_info.n_layers}",
            "the numbers have to add up, or leave a member out of --layers",
        )
    lacking = max(0, model_info.n_layers - most)
    missing = sum(sorted(wants.layers)[-lacking:]) if lacking else wants.head
    total = sum(wants.layers) + wants.head
    return Infeasible(
        f"{model_info.name} needs {size_text(total)} for its {model_info.n_layers} layers, context and head: "
        f"{size_text(missing)} are missing; offered: {offers}",
        "let more machines join, raise --memory, or serve with a smaller --ctx",
        missing,
    )


def _holds(wants: Demand, device: Device) -> str:
    capacity = _most(wants, device, head=False)
    if capacity > 0:
        return f"holds {capacity} layers"
    return f"too little: one layer needs {size_text(wants.needed(device, 0, 1, head=False))}"


def _most_layers(wants: Demand, devices: Sequence[Device]) -> tuple[int, bool]:
    """The most layers that any placement holds, and whether the head fits anywhere."""
    best, fits = 0, False
    for holder in [None, *devices]:
        rooms = []
        for device in devices:
            room = _most(wants, device, head=device is holder)
            if device is holder and room < (0 if device.host else 1):
                break
            rooms.append((device.host, max(room, 0)))
        else:
            remote = sorted((room for host, room in rooms if not host), reverse=True)[:MAX_DEVICES]
            most = sum(remote) + sum(room for host, room in rooms if host)
            if holder is not None:
                fits = True
                best = max(best, most)
    return (best, True) if fits else (0, False)
