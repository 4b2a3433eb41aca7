"""Which layers go where: subset of devices, counts, head and order together. Pure.

leader.placement.placement_search finds the fastest, and says how exactly. The pipeline's host takes the
first layers, and the device with the head comes last. Of equal layers, the other devices stand between them
by round trip: their order costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from leader.model.engine_settings import EngineSettings
from leader.model.model_info import ModelInfo
from leader.placement.cost import (
    Demand,
    Device,
    DeviceKey,
    Range,
    demand,
    entry_seconds,
    head_extra_seconds,
    layers_before,
)
from leader.placement.fixed_counts import spreads
from leader.placement.infeasible import Infeasible, infeasible, refuse_absent
from leader.placement.rpc_groups import RpcGroup, groups

if TYPE_CHECKING:
    from leader.placement.windows import Share


MAX_SLOTS: Final = 256  # LLAMA_MAX_SEQ
MAX_TOKENS: Final = (1 << 31) - 1  # of all slots: the engine reads -c as an int


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
    capacity: int  # layers that would fit at most
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
    def fits(self) -> bool:
        return self.bytes <= self.device.memory_offered

    @property
    def seconds(self) -> float:
        return self.layer_seconds + self.link_seconds + self.head_seconds


@dataclass(frozen=True, slots=True)
class Plan:
    """A placement in pipeline order; ``step_seconds`` is of one decode step.

    The members in ``joined`` serve all their devices by one rpc-server. With ``overlap`` the engine computes
    several ubatches of a prompt at once, for which there is memory.
    """

    model_info: ModelInfo
    settings: EngineSettings
    objective: str
    stages: tuple[PlanStage, ...]
    step_seconds: float
    batch: int
    joined: frozenset[bytes] = frozenset()
    overlap: bool = False

    @property
    def wants(self) -> Demand:
        """What the model asks of the plan's devices."""
        return demand(self.model_info, self.settings, self.batch, self.overlap)

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
                    "device": stage.device.device,
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
    fixed: Mapping[DeviceKey, int] | None = None,
    objective: str = "latency",
) -> Plan:
    """The fastest placement that fits, as far as leader.placement.placement_search promises it.

    Raises Infeasible.

    ``fixed`` gives devices an exact number of layers (0: none); all others are free. A key without a
    device's name stands for all devices of a member. What is to hold layers has to be there. ``objective``
    is latency (of one stream) or throughput (of all slots together).
    """
    if not devices:
        raise Infeasible(
            "no machine offers memory for layers",
            "let one hold layers, with mesh join --work there, or bring one, with mesh invite",
        )
    if settings.context < 1 or settings.slots < 1:
        asked = f"a context of {settings.context} and {settings.slots} slots"
        raise Infeasible(f"{asked} make no sense", "both are from 1")
    if settings.slots > MAX_SLOTS or settings.context * settings.slots > MAX_TOKENS:
        asked = f"a context of {settings.context} for each of {settings.slots} slots"
        raise Infeasible(
            f"{asked} is more than the engine takes: {MAX_SLOTS} slots, of {MAX_TOKENS} tokens in all",
            "ask for less, with --ctx or --slots",
        )
    batch = settings.slots if objective == "throughput" else 1
    wants = demand(model_info, settings, batch)
    ordered = sorted(devices, key=lambda device: (not device.host, device.rtt, *device.key))
    refuse_absent(ordered, fixed or {})
    for counts in spreads(wants, ordered, fixed or {}):
        shares = _within_caps(model_info, wants, ordered, counts)
        if shares is not None:
            return _plan(model_info, wants, ordered, shares, settings, objective, batch)
    free = _within_caps(model_info, wants, ordered, {}) if fixed else None
    raise infeasible(model_info, wants, ordered, fixed or {}, otherwise=free is not None)


def repriced(plan: Plan, devices: Sequence[Device]) -> Plan:
    """The same placement at the speeds that ``devices`` have by now; one that is not there has its former."""
    present = {device.key: device for device in devices}
    wants = plan.wants
    stages = []
    for stage in plan.stages:
        device = present.get(stage.device.key, stage.device)
        stages.append(_stage(plan.model_info, wants, device, stage.first, stage.layers, stage.head))
    return replace(plan, stages=tuple(stages), step_seconds=sum(stage.seconds for stage in stages))


def _within_caps(
    model_info: ModelInfo, wants: Demand, devices: Sequence[Device], fixed: Mapping[DeviceKey, int]
) -> Sequence[Share] | None:
    """The shares of the best placement within the members' caps.

    Where nothing fits so, the caps rise, all by as few layers as possible; by all layers is without caps.
    """
    # It imports numpy, which only a node that plans should load.
    from leader.placement.placement_search import best_shares

    def within(raised: int) -> Sequence[Share] | None:
        return best_shares(model_info, wants, devices, _ranges(wants, devices, fixed, raised))

    found = within(0)
    capped = any(device.most_layers is not None and device.key not in fixed for device in devices)
    if found is not None or not capped or (found := within(wants.n_layers)) is None:
        return found
    low, high = 0, wants.n_layers  # not possible, and possible
    while high - low > 1:
        middle = (low + high) // 2
        less = within(middle)
        low, high = (middle, high) if less is None else (low, middle)
        found = found if less is None else less
    return found


def _ranges(
    wants: Demand, devices: Sequence[Device], fixed: Mapping[DeviceKey, int], raised: int
) -> list[Range]:
    most = _caps(wants, devices, fixed, raised) if raised < wants.n_layers else {}
    ranges = []
    for device in devices:
        low, high = 0, min(most.get(device.key, wants.n_layers), wants.n_layers)
        if device.key in fixed:
            low = high = fixed[device.key]
        ranges.append(Range(low, high, wants.room(device, False), wants.room(device, True)))
    return ranges


def _caps(
    wants: Demand, devices: Sequence[Device], fixed: Mapping[DeviceKey, int], raised: int
) -> dict[DeviceKey, int]:
    """How many layers each capped device may hold, where its member's cap is ``raised`` by so many.

    A member's devices share its cap: each as many as the others, those that hold fewer as many as they hold.
    """
    capped: dict[bytes, list[Device]] = {}
    for device in devices:
        if device.most_layers is not None and device.key not in fixed:
            capped.setdefault(device.member, []).append(device)
    caps: dict[DeviceKey, int] = {}
    for member, own in capped.items():
        left = max(0, own[0].most_layers or 0) + raised
        left -= sum(fixed.get(device.key, 0) for device in devices if device.member == member)
        holding = sorted(own, key=wants.most)
        for number, device in enumerate(holding):
            caps[device.key] = max(0, min(wants.most(device), -(-left // (len(holding) - number))))
            left -= caps[device.key]
    return caps


def _plan(
    model_info: ModelInfo,
    wants: Demand,
    devices: Sequence[Device],
    shares: Sequence[Share],
    settings: EngineSettings,
    objective: str,
    batch: int,
) -> Plan:
    several = len(shares) > 1 and not any(devices[number].host for number, _, _ in shares)
    overlapping = demand(model_info, settings, batch, overlap=True) if several else wants
    overlap = several and all(stage.fits for stage in _stages(model_info, overlapping, devices, shares))
    stages = _stages(model_info, overlapping if overlap else wants, devices, shares)
    seconds = sum(stage.seconds for stage in stages)
    return Plan(model_info, settings, objective, stages, seconds, batch, overlap=overlap)


def _stages(
    model_info: ModelInfo, wants: Demand, devices: Sequence[Device], shares: Sequence[Share]
) -> tuple[PlanStage, ...]:
    stages: list[PlanStage] = []
    first = 0
    for number, layers, head in shares:
        stages.append(_stage(model_info, wants, devices[number], first, layers, head))
        first += layers
    return tuple(stages)


def _stage(
    model_info: ModelInfo, wants: Demand, device: Device, first: int, layers: int, head: bool
) -> PlanStage:
    before = layers_before(model_info)
    return PlanStage(
        device=device,
        first=first,
        layers=layers,
        head=head,
        bytes=wants.needed(device, first, layers, head),
        capacity=wants.most(device, head),
        layer_seconds=device.layer_seconds * (before[first + layers] - before[first]),
        link_seconds=entry_seconds(wants, device),
        head_seconds=head_extra_seconds(model_info, wants, device) if head else 0.0,
    )
