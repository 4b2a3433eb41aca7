"""What a placement costs: the memory that it takes, and the seconds that a token takes. Pure.

**Memory.** A device that holds ``l`` layers needs::

    l * (layer bytes + KV bytes of a layer) + work + margin [+ head]

*work* is the larger of the compute buffer and the largest single tensor's transfer buffer; see
``compute_bytes``. Every layer counts as the largest one. The host of the pipeline (the leader's CPU) also
keeps the token embedding.

**Time.** llama-server is a star: each token visits the used devices one after another. So a decode step is a
sum::

    sum over used devices of [rtt + layers * layer_seconds + batch * 4 * n_embd * (1/up + 1/down)] + head

The head's device sends ``4 * n_vocab`` bytes back instead of ``4 * n_embd``. A head on the leader's CPU sends
nothing more.
"""

from dataclasses import dataclass
from typing import Final

from leader.model.engine_settings import EngineSettings
from leader.model.model_info import ModelInfo
from mesh.engine.backends.backend_table import kind_named

UBATCH: Final = 512  # tokens computed at once in a prefill: llama-server's default
CACHE_GRAIN: Final = 256  # the engine rounds a slot's context up to a multiple of it
WORKER_MARGIN: Final = 8 << 20  # measured: an rpc-server in use has 5-6 MiB beyond its buffers
HOST_MARGIN: Final = 24 << 20  # measured: llama-server has 8 MiB of heap, 12 MiB of program pages

ASSUMED_LINK: Final = 100e6  # bytes a second each way: gigabit Ethernet
MAX_DEVICES: Final = 15  # the engine asserts at 16, and takes 15 values of -ts; the host's CPU does not count


DeviceKey = tuple[bytes, str]
"""A member, and the name of its device."""


@dataclass(frozen=True, slots=True)
class Device:
    """Something that can hold layers: an accelerator of a member's, or its processor with its memory.

    ``device`` is its name in the member's record, empty where the member tells of one alone.
    ``memory_offered`` is in bytes, ``rtt`` in seconds. ``layer_seconds`` is for one layer of the model at
    hand and one token. ``up`` (leader to device) and ``down`` are in bytes a second. Of the devices with
    ``local``, the one without an ``accelerator`` (llama.cpp's device name, as CUDA0) is the leader's CPU, the
    host of the pipeline.
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

    @property
    def key(self) -> DeviceKey:
        """What no other device of the pool has."""
        return (self.member, self.device)

    @property
    def host(self) -> bool:
        return self.local and not self.accelerator


@dataclass(frozen=True, slots=True)
class Demand:
    """What a model asks of any device, in bytes; see the module's formula."""

    n_layers: int
    layer: int  # a layer with its KV cache
    work: int  # compute buffer, or a tensor's second copy while it is loaded
    head: int  # on the device that holds it, with what loading it takes beyond ``work``
    embedding: int
    activation: int  # to and from each remote device, per step
    logits: int  # that the head's device sends back instead, per step

    def overhead(self, device: Device) -> int:
        """Bytes that a used device needs besides layers and head."""
        if device.host:
            return self.work + HOST_MARGIN + self.embedding
        return self.work + WORKER_MARGIN

    def capacity(self, device: Device, head: bool) -> int:
        """How many layers fit, 0 to n_layers; -1 when not even the head alone, or the overhead, fits."""
        room = device.memory_offered - self.overhead(device) - (self.head if head else 0)
        return -1 if room < 0 else min(self.n_layers, room // self.layer)

    def needed(self, device: Device, layers: int, head: bool) -> int:
        """Bytes that ``layers`` (and the head) take on ``device``."""
        return self.overhead(device) + layers * self.layer + (self.head if head else 0)


@dataclass(frozen=True, slots=True)
class Range:
    """How many layers a device may take without (``high``) and with the head (``high_head``).

    -1: not possible.
    """

    low: int
    high: int
    high_head: int


def demand(model_info: ModelInfo, settings: EngineSettings, batch: int) -> Demand:
    """What the model asks for with these settings, ``batch`` of its slots decoding."""
    cells = -(-settings.context // CACHE_GRAIN) * CACHE_GRAIN * settings.slots
    compute = compute_bytes(model_info, settings.context)
    return Demand(
        n_layers=model_info.n_layers,
        layer=max(model_info.layer_bytes) + model_info.kv_bytes_per_layer_per_token * cells,
        work=max(compute, model_info.largest_tensor),
        head=model_info.head_bytes
        + max(0, model_info.head_bytes - compute)
        + 4 * model_info.n_vocab * settings.slots,
        embedding=model_info.embedding_bytes,
        activation=batch * 4 * model_info.n_embd,
        logits=batch * 4 * model_info.n_vocab,
    )


def compute_bytes(model_info: ModelInfo, context: int) -> int:
    """An upper bound of a device's compute buffer, in bytes.

    It is ``U * (4 * (3 * n_ffn + 4 * n_embd) + 2 * context)`` with U = 512 tokens. Measurements of the pinned
    engine gave it, with flash attention (its default), on 14 combinations of n_embd, n_ffn, heads,
    vocabulary, context and slots. The true size was max(3 * n_ffn + 2 * n_embd, 4 * n_embd + mask) for
    workers, their sum for the host. Neither the vocabulary nor the number of heads mattered. Each slot has a
    mask of its own context, one at a time.
    """
    context = -(-context // CACHE_GRAIN) * CACHE_GRAIN
    return UBATCH * (4 * (3 * model_info.n_ffn + 4 * model_info.n_embd) + 2 * context)


def assumed_layer_seconds(model_info: ModelInfo, accelerator_kind: str) -> float:
    """Seconds a token for one layer where nothing was measured.

    That is its bytes over an assumed memory bandwidth.
    """
    return max(model_info.layer_bytes) / kind_named(accelerator_kind).bandwidth


def head_seconds(model_info: ModelInfo, device: Device) -> float:
    """Seconds a token for the head on ``device``.

    The head streams its weights at the speed that the layers show.
    """
    return device.layer_seconds * model_info.head_bytes / max(model_info.layer_bytes)


def entry_seconds(wants: Demand, device: Device) -> float:
    """Seconds a step that any use of ``device`` costs: its round trip and the activations both ways."""
    if device.local:
        return 0.0
    return device.rtt + wants.activation * (1 / device.up + 1 / device.down)


def head_extra_seconds(model_info: ModelInfo, wants: Demand, device: Device) -> float:
    """Seconds a step that the head adds on ``device``."""
    sent = 0.0 if device.local else (wants.logits - wants.activation) / device.down
    return head_seconds(model_info, device) + sent
