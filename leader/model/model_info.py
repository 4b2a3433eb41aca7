"""What placement needs to know of a model: plain numbers, whatever file format they come from."""

from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model's measures. Layers count from 0; ``layer_bytes`` and ``kv_bytes`` have one entry a layer.

    ``kv_bytes`` is K and V of one token in 16-bit floats. ``head_bytes`` is the output matrix and its norm
    (with ``tied``, a second copy of the embedding). ``embedding_bytes`` stays on the pipeline's host.
    Of a slot, what cannot be rolled back is at most the last ``window`` tokens of its cache, and
    ``state_bytes`` of recurrent layers. ``largest_tensor`` is that of all layers, in bytes. ``n_ffn`` is the
    width that a token uses: of a mixture of experts, that of all experts that it visits. ``pooling`` is how
    the file makes one vector of a text's (`leader.model.made_for.POOLINGS`), empty where it does not say;
    not ``causal``, a token reads those behind it too. A head's keys and values have so many numbers.
    ``projector`` is the file beside the model's by which it reads pictures, where one is served with it.
    """

    name: str
    architecture: str
    files: tuple[Path, ...]
    total_bytes: int
    layer_bytes: tuple[int, ...]
    kv_bytes: tuple[int, ...]
    window: int
    state_bytes: int
    largest_tensor: int
    head_bytes: int
    embedding_bytes: int
    n_embd: int
    n_ffn: int
    n_heads: int
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

    @property
    def kv_bytes_per_layer_per_token(self) -> int:
        """The largest of all layers, in bytes."""
        return max(self.kv_bytes)

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
