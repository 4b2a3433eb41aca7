"""Small stand-ins for models and machines."""

from pathlib import Path

from leader.model.graph_widths import GraphWidths
from leader.model.layer_caches import CacheRows, LayerCache
from leader.model.model_info import ModelInfo
from leader.placement.cost import Device

MIB = 1 << 20
GIB = 1 << 30


def full(*elements: int, window: int = 0, state: int = 0) -> LayerCache:
    """What a layer keeps: rows of so many elements each, of all tokens or of a window's, and a state."""
    return LayerCache(tuple(CacheRows(one, window) for one in elements), state)


def model_info(n_layers: int = 8, layer_bytes: int = 8 * MIB) -> ModelInfo:
    """A model of equal layers; compute buffers of about 9 MiB, a head of 4 MiB."""
    return ModelInfo(
        name="toy",
        architecture="llama",
        files=(Path("/models/toy.gguf"),),
        total_bytes=n_layers * layer_bytes + 8 * MIB,
        layer_bytes=(layer_bytes,) * n_layers,
        caches=(full(512, 512),) * n_layers,
        largest_tensor=2 * MIB,
        head_bytes=4 * MIB,
        embedding_bytes=4 * MIB,
        n_embd=512,
        graph=GraphWidths(3 * 768 + 3 * 512, 512),
        n_vocab=4096,
        context_train=4096,
        tied=False,
    )


def host(memory: int = 60 * MIB, seconds: float = 0.002) -> Device:
    """The leader's own CPU."""
    return Device(member=b"\xff" * 16, name="host", memory_offered=memory, layer_seconds=seconds, local=True)


def worker(
    number: int,
    memory: int = 100 * MIB,
    seconds: float = 0.002,
    rtt: float = 0.001,
    up: float = 1e8,
    down: float = 1e8,
) -> Device:
    """A machine across the network."""
    return Device(
        member=bytes([number]) * 16,
        name=f"w{number}",
        memory_offered=memory,
        layer_seconds=seconds,
        rtt=rtt,
        up=up,
        down=down,
    )
