"""What placement needs to know of a model: plain numbers, whatever file format they come from."""

from dataclasses import dataclass, replace
from pathlib import Path

from leader.model.engine_settings import KV_TYPES, EngineSettings
from leader.model.graph_widths import GraphWidths
from leader.model.layer_caches import UBATCH, LayerCache


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model's measures. Layers count from 0; ``layer_bytes`` and ``caches`` have one entry a layer.

    ``head_bytes`` is the output matrix and its norm (with ``tied``, a second copy of the embedding).
    ``embedding_bytes`` stays on the pipeline's host. ``largest_tensor`` is that of all layers, in bytes.
    ``graph`` says how much computing a token takes. ``pooling`` is how the file makes one vector of a text's
    (`leader.model.header_uses.POOLINGS`), empty where it does not say; not ``causal``, a token reads those
    behind it too. A head's keys and values have so many numbers. ``projector`` is the file beside the model's
    by which it reads pictures, where one is served with it.
    """

    name: str
    architecture: str
    files: tuple[Path, ...]
    total_bytes: int
    layer_bytes: tuple[int, ...]
    caches: tuple[LayerCache, ...]
    largest_tensor: int
    head_bytes: int
    embedding_bytes: int
    n_embd: int
    graph: GraphWidths
    n_vocab: int
    context_train: int
    tied: bool
    pooling: str = ""
    causal: bool = True
    key_width: int = 0
    value_width: int = 0
    projector: Path | None = None

    @property
    def all_files(self) -> tuple[Path, ...]:
        """The model's, and the one beside it, if there is one."""
        return self.files if self.projector is None else (*self.files, self.projector)

    @property
    def n_layers(self) -> int:
        return len(self.layer_bytes)

    def cache_bytes(self, settings: EngineSettings) -> tuple[int, ...]:
        """What each layer keeps for all slots, in bytes."""
        element, at_once = KV_TYPES[settings.kv], max(UBATCH, settings.context if settings.embeddings else 0)
        sizes = (cache.size(settings.context, element, at_once) for cache in self.caches)
        return tuple(size * settings.slots for size in sizes)

    def slot_bytes(self, settings: EngineSettings) -> int:
        """What all layers keep for one slot, in bytes."""
        element = KV_TYPES[settings.kv]
        return sum(cache.size(settings.context, element) for cache in self.caches)

    def checkpoint_bytes(self, settings: EngineSettings) -> int:
        """What the engine copies of one slot to go back to: what it cannot roll back, of all layers."""
        element = KV_TYPES[settings.kv]
        return sum(cache.checkpoint(settings.context, element) for cache in self.caches)

    def scaled(self, size: int) -> "ModelInfo":
        """The same model in ``size`` bytes, as another quantisation has it: all weights by one factor."""

        def of(count: int) -> int:
            return max(1, count * size // self.total_bytes) if count else 0

        return replace(
            self,
            total_bytes=size,
            layer_bytes=tuple(map(of, self.layer_bytes)),
            largest_tensor=of(self.largest_tensor),
            head_bytes=of(self.head_bytes),
            embedding_bytes=of(self.embedding_bytes),
        )
