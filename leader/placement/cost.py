"""What a placement costs: the memory that it takes, and the seconds that a token takes. Pure.

**Memory.** A device that holds some layers needs::

    sum over them of (layer bytes + what it keeps of the context) + work + margin [+ head]

*work* is the larger of the compute buffer and the largest single tensor's transfer buffer; see
``compute_bytes``. The host of the pipeline (the leader's CPU) also keeps the token embedding, copies of slots
to go back to (``checkpoints``), and the projector by which pictures are read.

**Time.** llama-server is a star: each token visits the used devices one after another. So a decode step is a
sum::

    sum over used devices of [rtt + its layers' seconds + batch * 4 * n_embd * (1/up + 1/down)] + head

``layer_seconds`` is of the largest layer; another one takes as much less as its weights are smaller. The
head's device sends ``4 * n_vocab`` bytes back instead of ``4 * n_embd``. A head on the leader's CPU sends
nothing more.
"""

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Final

from leader.model.engine_settings import DEFAULT_KV, EngineSettings
from leader.model.made_for import batch as batch_of
from leader.model.model_info import ModelInfo
from mesh.engine.backends.backend_table import kind_named

WORKER_MARGIN: Final = 8 << 20  # measured: an rpc-server in use has 5-6 MiB beyond its buffers
HOST_MARGIN: Final = 24 << 20  # measured: llama-server has 8 MiB of heap, 12 MiB of program pages

COPIES: Final = 4  # of a graph's inputs, where the engine computes several ubatches at once
COMPUTE_MARGIN: Final = 2 << 20  # for positions, and the places of rows that are written
MOST_CHECKPOINTS: Final = 32  # that the engine keeps of a slot by default

ASSUMED_LINK: Final = 100e6  # bytes a second each way: gigabit Ethernet
MAX_DEVICES: Final = 15  # the engine asserts at 16, and takes 15 values of -ts; the host's CPU does not count


DeviceKey = tuple[bytes, str]
"""A member, and the name of its device."""


@dataclass(frozen=True, slots=True)
class Device:
    """Something that can hold layers: an accelerator of a member's, or its processor with its memory.

    ``device`` is its name in the member's record, empty where the member tells of one alone.
    ``memory_offered`` is in bytes, ``rtt`` in seconds. ``layer_seconds`` is for the largest layer of the
    model at hand and one token. ``up`` (leader to device) and ``down`` are in bytes a second. All devices of
    its member together get at most ``most_layers``, unless nothing fits so. Of the devices with ``local``,
    the one without an ``accelerator`` (llama.cpp's device name, as CUDA0) is the leader's CPU, the host of
    the pipeline.
    """

    member: bytes
    name: str
    memory_offered: int
    layer_seconds: float
    rtt: float = 0.0
    up: float = ASSUMED_LINK
    down: float = ASSUMED_LINK
    local: bool = False
    accelerator: str = ""
    device: str = ""
    most_layers: int | None = None

    @property
    def key(self) -> DeviceKey:
        """What no other device of the pool has."""
        return (self.member, self.device)

    @property
    def member_name(self) -> str:
        """Of the machine; ``name`` also has the device's where there are several."""
        return self.name.removesuffix(f"/{self.device}") if self.device else self.name

    @property
    def host(self) -> bool:
        return self.local and not self.accelerator


@dataclass(frozen=True, slots=True)
class Demand:
    """What a model asks of any device, in bytes; see the module's formula."""

    layers: tuple[int, ...]  # each with its part of the context
    work: int  # compute buffer, or a tensor's second copy while it is loaded
    head: int  # on the device that holds it, with what loading it takes beyond ``work``
    embedding: int
    activation: int  # to and from each remote device, per step
    logits: int  # that the head's device sends back instead, per step
    overlap: int = 0  # what ``work`` is more on devices that compute several ubatches at once
    sums: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """Of the layers before each place: n_layers + 1 of them."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "sums", tuple(accumulate(self.layers, initial=0)))

    @property
    def n_layers(self) -> int:
        return len(self.layers)

    def as_largest(self) -> "Demand":
        """The same with every layer counted as the largest."""
        return replace(self, layers=(max(self.layers),) * self.n_layers)

    def overhead(self, device: Device) -> int:
        """Bytes that a used device needs besides layers and head."""
        if device.host:  # where it holds layers, ubatches do not overlap
            return self.work + HOST_MARGIN + self.embedding
        return self.work + self.overlap + WORKER_MARGIN

    def room(self, device: Device, head: bool) -> int:
        """Bytes for layers; below 0 when not even the head alone, or the overhead, fits."""
        return device.memory_offered - self.overhead(device) - (self.head if head else 0)

    def capacity(self, device: Device, head: bool, first: int = 0) -> int:
        """How many layers fit from ``first`` on; -1 where the room is below 0."""
        room = self.room(device, head)
        return -1 if room < 0 else bisect_right(self.sums, self.sums[first] + room) - 1 - first

    def most(self, device: Device, head: bool = False) -> int:
        """The most layers that fit, wherever they lie; 0 where not even the overhead fits."""
        return max(0, *(self.capacity(device, head, first) for first in range(self.n_layers)))

    def needed(self, device: Device, first: int, layers: int, head: bool) -> int:
        """Bytes that ``layers`` from ``first`` on (and the head) take on ``device``."""
        held = self.sums[first + layers] - self.sums[first]
        return self.overhead(device) + held + (self.head if head else 0)


@dataclass(frozen=True, slots=True)
class Range:
    """How many layers a device may take, ``low`` to ``high``, and in how many bytes.

    ``room`` is without the head, ``room_head`` with it; below 0: not possible.
    """

    low: int
    high: int
    room: int
    room_head: int


def demand(model_info: ModelInfo, settings: EngineSettings, batch: int, overlap: bool = False) -> Demand:
    """What the model asks for with these settings, ``batch`` of its slots decoding.

    ``overlap``: see ``compute_bytes``.
    """
    compute = compute_bytes(model_info, settings, overlap=False)
    work = max(compute, model_info.largest_tensor)
    overlapping = max(compute_bytes(model_info, settings), model_info.largest_tensor) - work
    kept = checkpoints(model_info, settings) * model_info.checkpoint_bytes(settings) * settings.slots
    return Demand(
        layers=tuple(
            weights + cache
            for weights, cache in zip(model_info.layer_bytes, model_info.cache_bytes(settings), strict=True)
        ),
        work=work,
        head=model_info.head_bytes
        + max(0, model_info.head_bytes - compute)
        + 4 * model_info.n_vocab * settings.slots,
        embedding=model_info.embedding_bytes + settings.projector + kept,
        activation=batch * 4 * model_info.n_embd,
        logits=batch * 4 * model_info.n_vocab,
        overlap=overlapping if overlap else 0,
    )


def checkpoints(model_info: ModelInfo, settings: EngineSettings) -> int:
    """How many copies of a slot, to go back to, the host keeps of what cannot be rolled back.

    One is allowed in any case, more if together they hold no more than the slot itself.
    """
    each = model_info.checkpoint_bytes(settings)
    return min(MOST_CHECKPOINTS, max(1, model_info.slot_bytes(settings) // max(1, each)))


def compute_bytes(model_info: ModelInfo, settings: EngineSettings, overlap: bool = True) -> int:
    """An upper bound of a device's compute buffer, in bytes.

    It is of the graph that computes a batch of tokens at once (`made_for.batch`): what a layer needs for each
    of them, and the graph's inputs. These are what the device before hands over, and masks by which attention
    knows what it may see: one for all rows that a slot keeps, one for each window. With ``overlap`` the
    engine computes several batches at once, if it puts all layers on two devices or more and overrides no
    tensor's place; then it has the inputs four times.
    """
    graph, at_once = model_info.graph, batch_of(model_info, settings)
    kinds = {(rows.window, rows.every): rows for cache in model_info.caches for rows in cache.rows}
    seen = {kind: rows.cells(settings.context, at_once) for kind, rows in kinds.items()}
    most = max((cells for (window, _), cells in seen.items() if not window), default=0)
    state = max((cache.state for cache in model_info.caches), default=0)
    rows = sum(seen.values()) if seen or state else 2 * at_once  # without any cache, a prefill sees itself
    masks = graph.mask * rows + graph.pooled * settings.slots * most + 4 * at_once * graph.pairs
    turning = 0 if settings.kv == DEFAULT_KV else 2 * 4 * graph.turned**2 * max(1, len(kinds))
    inputs = at_once * (4 * graph.handed + masks) + turning
    inner = at_once * 4 * (graph.inner + graph.by_row * most)
    return inner + inputs * (COPIES if overlap else 1) + 2 * settings.slots * state + COMPUTE_MARGIN


def assumed_layer_seconds(model_info: ModelInfo, accelerator_kind: str) -> float:
    """Seconds a token for the largest layer where nothing was measured.

    That is its bytes over an assumed memory bandwidth.
    """
    return _largest(model_info) / kind_named(accelerator_kind).bandwidth


def layers_before(model_info: ModelInfo) -> tuple[float, ...]:
    """How many of the largest layer the layers before each place make together, by their weights.

    n_layers + 1 numbers: the time of layers ``a`` to ``b - 1`` is ``layer_seconds`` times the difference of
    those at ``b`` and ``a``.
    """
    largest = _largest(model_info)
    return tuple(one / largest for one in accumulate(model_info.layer_bytes, initial=0))


def head_seconds(model_info: ModelInfo, device: Device) -> float:
    """Seconds a token for the head on ``device``.

    The head streams its weights at the speed that the layers show.
    """
    return device.layer_seconds * model_info.head_bytes / _largest(model_info)


def entry_seconds(wants: Demand, device: Device) -> float:
    """Seconds a step that any use of ``device`` costs: its round trip and the activations both ways."""
    if device.local:
        return 0.0
    return device.rtt + wants.activation * (1 / device.up + 1 / device.down)


def head_extra_seconds(model_info: ModelInfo, wants: Demand, device: Device) -> float:
    """Seconds a step that the head adds on ``device``."""
    sent = 0.0 if device.local else (wants.logits - wants.activation) / device.down
    return head_seconds(model_info, device) + sent


def _largest(model_info: ModelInfo) -> int:
    return max((1, *model_info.layer_bytes))
