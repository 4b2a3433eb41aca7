"""What each layer of a model keeps of a context, as the pinned engine keeps it. Pure.

Most layers keep a row of keys and a row of values for each token. The others are known by the architecture:
layers that see a *sliding window* keep the last tokens alone, *latent attention* keeps keys and no values,
*sparse attention* keeps a second row of keys by which it selects, layers that *share* another's rows keep
nothing, and *recurrent* layers keep a state for each slot, however long its context is.

Architectures and defaults are those of the engine's src/llama-model.cpp (`create_memory`) and src/models. An
architecture that is not in a table here keeps all of it, which is never too little.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from leader.model.header_values import Metadata

UBATCH: Final = 512
"""Tokens computed at once in a prefill: llama-server's default."""
CACHE_GRAIN: Final = 256
"""The engine rounds what a slot and a window hold up to a multiple of so many tokens."""
STATE_ELEMENT_BYTES: Final = 4
MAX_ELEMENTS: Final = 1 << 32
"""Of a row: what is above is taken for this."""
MAX_ALL_LAYERS: Final = 512


@dataclass(frozen=True, slots=True)
class CacheRows:
    """A row of ``elements`` for each of the last ``window`` tokens (0: of all), or for ``every`` so many."""

    elements: int
    window: int = 0
    every: int = 1

    def cells(self, context: int, at_once: int = UBATCH) -> int:
        """How many rows a slot of ``context`` tokens has, where so many are computed ``at_once``."""
        kept = up(max(1, context), CACHE_GRAIN)
        if self.window:
            return up(min(kept, self.window + at_once), CACHE_GRAIN)
        return up(-(-kept // self.every), CACHE_GRAIN) if self.every > 1 else kept

    def size(self, context: int, element: tuple[int, int], at_once: int = UBATCH) -> int:
        """Bytes for a slot; ``element``: so many bytes for so many elements, as a block of its type has."""
        size, block = element
        return -(-self.elements // block) * size * self.cells(context, at_once)


@dataclass(frozen=True, slots=True)
class LayerCache:
    """What one layer keeps for a slot: rows by token, and ``state`` bytes that no token adds to."""

    rows: tuple[CacheRows, ...] = ()
    state: int = 0

    def size(self, context: int, element: tuple[int, int], at_once: int = UBATCH) -> int:
        """Bytes for a slot of ``context`` tokens, of which so many are computed ``at_once``."""
        return self.state + sum(rows.size(context, element, at_once) for rows in self.rows)

    def checkpoint(self, context: int, element: tuple[int, int]) -> int:
        """Bytes of what cannot be rolled back: of a window and of a state, the engine keeps copies."""
        return self.state + sum(rows.size(context, element) for rows in self.rows if rows.window)

    @property
    def widest(self) -> int:
        """Elements of the widest row."""
        return max((rows.elements for rows in self.rows), default=0)


@dataclass(frozen=True, slots=True)
class _Window:
    """Which layers see a window: all but each ``period``-th, where the file does not say; 0: all.

    ``first``: the first of each period sees all, not the last. ``fixed``: the engine reads no other width.
    """

    period: int
    first: bool = False
    default: int = 0
    fixed: int = 0


_FILE_SAYS: Final = 1
"""A period for which no layer has a window unless the file lists them."""

_WINDOWS: Final[Mapping[str, _Window]] = {
    "afmoe": _Window(4),
    "cohere2": _Window(4),
    "cohere2moe": _Window(4, first=True),
    "deepseek4": _Window(0),
    "dots3note": _Window(_FILE_SAYS),
    "exaone-moe": _Window(4, default=128),
    "exaone4": _Window(4, default=4096),
    "gemma2": _Window(2, default=4096),
    "gemma3": _Window(6),
    "gemma3n": _Window(5),
    "gemma4": _Window(_FILE_SAYS),
    "gpt-oss": _Window(2),
    "granite_swa": _Window(_FILE_SAYS),
    "laguna": _Window(4, first=True),
    "lfm2": _Window(0),
    "lfm2moe": _Window(0),
    "llama4": _Window(4, default=8192, fixed=8192),
    "maple": _Window(_FILE_SAYS),
    "mellum": _Window(4),
    "mimo2": _Window(_FILE_SAYS),
    "muse-glimmer": _Window(4),
    "olmo2": _Window(4),
    "plamo3": _Window(8),
    "smallthinker": _Window(4, first=True, fixed=4096),
    "spark2_5": _Window(_FILE_SAYS),
    "step35": _Window(_FILE_SAYS),
}
_ALL_WINDOWED: Final = frozenset(("deepseek4", "lfm2", "lfm2moe"))
"""Of these the engine reads no pattern."""
_EXAONE4_WINDOWED: Final = 64
"""Layers of the one size of exaone4 that has windows."""

ENCODERS: Final = frozenset((
    "bert", "eurobert", "gemma-embedding", "jina-bert-v2", "jina-bert-v3", "modern-bert", "neo-bert",
    "nomic-bert", "nomic-bert-moe",
))  # fmt: skip
"""They read a whole text at once and write none."""
DIFFUSERS: Final = frozenset(("dream", "llada", "llada-moe", "rnd1"))
"""They write by diffusion, so they read both ways, as encoders do."""
_NO_CACHE: Final = ENCODERS | DIFFUSERS | {"wavtokenizer-dec"}
_LATENT: Final = frozenset((
    "bailingmoe3", "deepseek2", "deepseek32", "dots3note", "glm-dsa", "glm5-next", "hy_v4", "kimi-k3",
    "kimi-linear", "mistral4",
))  # fmt: skip
_ALL_RECURRENT: Final = frozenset(("arwkv7", "mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7"))
_BY_HEADS: Final = frozenset((
    "bailingmoe3", "glm5-next", "granitehybrid", "jamba", "kimi-k3", "kimi-linear", "lfm2", "lfm2moe",
    "plamo2",
))  # fmt: skip
"""Hybrids whose layers without KV heads are recurrent."""
_BY_INTERVAL: Final = {"minimax-01": 8, "qwen35": 4, "qwen35moe": 4, "qwen3next": 4, "qwen4exp": 4}
"""Hybrids of which each so many-th layer has attention, where the file does not say."""
_NEMOTRON: Final = frozenset(("nemotron_h", "nemotron_h_moe"))
_LINEAR: Final = frozenset(("bailingmoe3", "glm5-next", "kimi-k3", "kimi-linear"))
"""Those with states by `kda.head_dim`."""
_SHARED_FROM: Final = {"gemma3n": 20}
_INDEXED: Final = frozenset(("deepseek32", "dots3note", "glm-dsa", "glm5-next", "hy_v4", "qwen4exp"))
_INDEXED_WITH_VALUES: Final = "minimax-m3"
_GLM_TRAINED: Final = 1 << 20
"""From this training context on, glm-dsa's indexers are shared where the file does not say."""
_COMPRESSED_FEW: Final = 4
_COMPRESSED_MANY: Final = 128


@dataclass(frozen=True, slots=True)
class HeaderKeys:
    """A header's numbers. What is not a number, or none that makes sense, counts as not being there."""

    architecture: str
    metadata: Metadata
    n_layers: int = 0
    """As `layer_count` says."""

    def number(self, key: str, default: int = 0) -> int:
        """The number at ``key``, of the architecture's; of several the first."""
        value = self.metadata.get(f"{self.architecture}.{key}")
        if isinstance(value, Sequence) and not isinstance(value, str):
            value = value[0] if value else None
        return default if (whole := _whole(value)) is None else whole

    def each(self, key: str, default: int | Sequence[int] = 0) -> tuple[int, ...]:
        """A number for each layer: one stands for all; those that an array lacks are 0."""
        value = self.metadata.get(f"{self.architecture}.{key}")
        if isinstance(value, Sequence) and not isinstance(value, str):
            numbers = [_whole(one) or 0 for one in value[: self.n_layers]]
            return (*numbers, *(0,) * (self.n_layers - len(numbers)))
        if (whole := _whole(value)) is not None:
            return (whole,) * self.n_layers
        return (default,) * self.n_layers if isinstance(default, int) else tuple(default)

    def listed(self, key: str) -> bool:
        value = self.metadata.get(f"{self.architecture}.{key}")
        return isinstance(value, Sequence) and not isinstance(value, str)

    def there(self, key: str) -> bool:
        return f"{self.architecture}.{key}" in self.metadata


def up(count: int, grain: int) -> int:
    """The least multiple of ``grain`` that is not below ``count``."""
    return -(-count // grain) * grain


def _whole(value: object) -> int | None:
    if isinstance(value, bool | int):
        return min(int(value), MAX_ELEMENTS) if value >= 0 else None
    if isinstance(value, float) and value.is_integer() and 0 <= value <= MAX_ELEMENTS:
        return int(value)
    return None


def layer_count(architecture: str, metadata: Metadata) -> int:
    """How many layers the engine counts, with those that it adds or goes through again; 0: it is not told.

    The engine's splits are in these numbers. Layers that are added have no tensors of their own.
    """
    keys = HeaderKeys(architecture, metadata)
    blocks = keys.number("block_count")
    if architecture == "graniteswitch" and blocks:
        return blocks + 1  # the layer that chooses an adapter
    if architecture == "nanbeige":
        return blocks * min(max(1, keys.number("num_loops", 1)), MAX_ALL_LAYERS)
    return blocks


def read_caches(architecture: str, metadata: Metadata, n_layers: int, n_embd: int) -> tuple[LayerCache, ...]:
    """What each of the ``n_layers`` keeps. Never raises: what the header does not say is taken to be most."""
    keys = HeaderKeys(architecture, metadata, n_layers)
    if architecture in _NO_CACHE:
        return (LayerCache(),) * n_layers
    trunk = n_layers - min(keys.number("nextn_predict_layers"), n_layers)
    if architecture in ("nanbeige", "graniteswitch") or not trunk:
        trunk = n_layers
    recurrent = _recurrent(keys, trunk)
    if architecture in _ALL_RECURRENT:
        state = _state(keys, n_embd, 0)
        return tuple(LayerCache(state=state if layer < trunk else 0) for layer in range(n_layers))
    attends = _attending(keys, trunk, recurrent)
    rows = _rows(keys, n_embd, trunk, recurrent)
    return tuple(
        LayerCache(
            rows[layer] if attends[layer] else (),
            (_state(keys, n_embd, layer) if recurrent[layer] else 0) + _compressor_state(keys, rows, layer),
        )
        for layer in range(n_layers)
    )


def _recurrent(keys: HeaderKeys, trunk: int) -> tuple[bool, ...]:
    """Which layers keep a state."""
    kind, layers = keys.architecture, range(keys.n_layers)
    if kind == "falcon-h1":
        return (True,) * keys.n_layers
    kv_heads = keys.each("attention.head_count_kv", keys.each("attention.head_count"))
    if kind in _BY_HEADS:
        return tuple(layer < trunk and not kv_heads[layer] for layer in layers)
    if kind in _NEMOTRON:
        widths = keys.each("feed_forward_length")
        return tuple(layer < trunk and not kv_heads[layer] and not widths[layer] for layer in layers)
    if kind in _BY_INTERVAL:
        if keys.there("attention.recurrent_layers"):
            told = keys.each("attention.recurrent_layers")
            return tuple(layer < trunk and told[layer] != 0 for layer in layers)
        interval = max(1, keys.number("full_attention_interval", _BY_INTERVAL[kind]))
        return tuple(layer < trunk and (layer + 1) % interval != 0 for layer in layers)
    return (False,) * keys.n_layers


def _attending(keys: HeaderKeys, trunk: int, recurrent: Sequence[bool]) -> tuple[bool, ...]:
    """Which layers keep rows."""
    kind, layers = keys.architecture, range(keys.n_layers)
    if kind == "falcon-h1" or kind == "deepseek4":
        return (True,) * keys.n_layers
    if kind in _NEMOTRON:
        widths = keys.each("feed_forward_length")
        return tuple(not recurrent[layer] and not widths[layer] for layer in layers)
    if kind in _BY_HEADS and kind != "glm5-next":
        return tuple(not recurrent[layer] for layer in layers)
    shared = keys.n_layers
    if kind == "gemma4":
        shared = keys.n_layers - min(keys.number("attention.shared_kv_layers"), keys.n_layers)
    shared = _SHARED_FROM.get(kind, shared)
    return tuple(layer < trunk and layer < shared and not recurrent[layer] for layer in layers)


def _rows(
    keys: HeaderKeys, n_embd: int, trunk: int, recurrent: Sequence[bool]
) -> tuple[tuple[CacheRows, ...], ...]:
    """The rows of each layer, as if it attended."""
    heads = keys.each("attention.head_count")
    kv_heads = list(keys.each("attention.head_count_kv", heads))
    if keys.architecture == "graniteswitch":
        kv_heads[-1] = 1
    first = heads[0] if heads and heads[0] else max(heads, default=0)
    width = n_embd // first if first else 0
    key, value = keys.number("attention.key_length", width), keys.number("attention.value_length", width)
    key_seen = keys.number("attention.key_length_swa", key)
    value_seen = keys.number("attention.value_length_swa", value)
    latent = keys.architecture in _LATENT and all(
        keys.number(f"attention.{name}_length_mla") for name in ("key", "value")
    )
    windows, ratios = _windows(keys, trunk, recurrent), keys.each("attention.compress_ratios")
    indexed = _indexers(keys, trunk, latent, value)
    result = []
    for layer, (number, window) in enumerate(zip(kv_heads, windows, strict=True)):
        kept = (key_seen if window else key) * number
        rows = [CacheRows(min(kept, MAX_ELEMENTS), window)]
        if keys.architecture == "deepseek4":
            rows += _compressed(keys, key * number, ratios[layer])
        elif not latent:
            rows.append(CacheRows(min((value_seen if window else value) * number, MAX_ELEMENTS), window))
        result.append((*rows, *indexed[layer]))
    return tuple(result)


def _windows(keys: HeaderKeys, trunk: int, recurrent: Sequence[bool]) -> tuple[int, ...]:
    """The window of each layer in tokens; 0: it sees all."""
    rule, none = _WINDOWS.get(keys.architecture), (0,) * keys.n_layers
    if rule is None or (keys.architecture == "exaone4" and trunk != _EXAONE4_WINDOWED):
        return none
    width = keys.number("attention.sliding_window", rule.default)
    if not width:
        return none
    width = rule.fixed or width
    if keys.architecture in _ALL_WINDOWED:
        return tuple(0 if recurrent[layer] else width for layer in range(keys.n_layers))
    pattern = "attention.sliding_window_pattern"
    if keys.listed(pattern):
        return tuple(width if seen else 0 for seen in keys.each(pattern))
    period = rule.period if rule.period == _FILE_SAYS else keys.number(pattern, rule.period)
    whole = 0 if rule.first else period - 1
    return tuple(
        width if layer < trunk and (not period or layer % period != whole) else 0
        for layer in range(keys.n_layers)
    )


def _indexers(keys: HeaderKeys, trunk: int, latent: bool, value: int) -> list[tuple[CacheRows, ...]]:
    """The rows by which sparse attention selects, of each layer."""
    kind, width = keys.architecture, keys.number("attention.indexer.key_length")
    none: list[tuple[CacheRows, ...]] = [()] * keys.n_layers
    if kind == _INDEXED_WITH_VALUES:
        dense = keys.number("leading_dense_block_count")
        both = (CacheRows(width), CacheRows(value))
        return [both if layer >= dense else () for layer in range(keys.n_layers)]
    if kind not in _INDEXED or (kind == "hy_v4" and not keys.number("attention.indexer.top_k")):
        return none
    told = (1,) * keys.n_layers
    if kind not in ("deepseek32", "qwen4exp"):
        told = keys.each("attention.indexer.types", _indexer_types(keys))
    width *= 3 if kind == "glm5-next" and keys.number("attention.indexer.kpool") else 1
    keyed = latent or kind in ("glm5-next", "qwen4exp")
    rows = (CacheRows(width),) if keyed else (CacheRows(width), CacheRows(value))
    return [rows if layer < trunk and told[layer] else () for layer in range(keys.n_layers)]


def _indexer_types(keys: HeaderKeys) -> tuple[int, ...]:
    """Which layers have an indexer of their own where the file does not say."""
    if keys.architecture == "glm-dsa" and keys.number("context_length") >= _GLM_TRAINED:
        return tuple(int(layer < 2 or layer % 4 == 2) for layer in range(keys.n_layers))
    return (1,) * keys.n_layers


def _compressed(keys: HeaderKeys, key: int, ratio: int) -> list[CacheRows]:
    """deepseek4's rows for several tokens each, and those by which it selects."""
    if ratio == _COMPRESSED_FEW:
        return [
            CacheRows(key, every=ratio),
            CacheRows(keys.number("attention.indexer.key_length"), every=ratio),
        ]
    return [CacheRows(key, every=ratio)] if ratio == _COMPRESSED_MANY else []


def _compressor_state(keys: HeaderKeys, rows: Sequence[Sequence[CacheRows]], layer: int) -> int:
    """Bytes that deepseek4 keeps of tokens that are not compressed yet: of what it adds and of its scores."""
    elements = 0
    for one in rows[layer]:
        if one.every == _COMPRESSED_FEW:
            elements += 2 * 2 * one.elements * 2 * _COMPRESSED_FEW
        elif one.every == _COMPRESSED_MANY:
            elements += 2 * one.elements * _COMPRESSED_MANY
    return elements * STATE_ELEMENT_BYTES


def _state(keys: HeaderKeys, n_embd: int, layer: int) -> int:
    """Bytes of a recurrent layer's state, of one slot: what it mixes of the last tokens, and what it sums."""
    heads = keys.each("attention.head_count")
    first = heads[0] if heads and heads[0] else max(heads, default=0)
    kernel = keys.number("ssm.conv_kernel")
    if head := keys.number("wkv.head_size"):
        mixed, summed = keys.number("token_shift_count", 2) * n_embd, n_embd * head
    elif kept := keys.number("shortconv.l_cache"):
        mixed, summed = n_embd * (kept - 1), 0
    elif keys.architecture in _LINEAR and (head := keys.number("kda.head_dim")):
        mixed, summed = 3 * (kernel - 1 if kernel else 3) * first * head, head * head * first
    elif keys.architecture == "minimax-01":
        head = keys.number("attention.key_length", n_embd // first if first else 0)
        mixed, summed = 0, head * head * first
    else:
        inner, state = keys.number("ssm.inner_size"), keys.number("ssm.state_size")
        mixed = max(0, kernel - 1) * (inner + 2 * keys.number("ssm.group_count") * state)
        summed = inner * state
    return min(mixed + summed + _history(keys, n_embd, layer), MAX_ELEMENTS) * STATE_ELEMENT_BYTES


def _history(keys: HeaderKeys, n_embd: int, layer: int) -> int:
    """Elements that qwen4exp's layer of n-grams keeps."""
    value = keys.metadata.get(f"{keys.architecture}.ple.layers")
    if keys.architecture != "qwen4exp" or not isinstance(value, tuple) or layer not in value:
        return 0
    kernel, size = keys.number("ple.conv_kernel"), keys.number("ple.ngram_size")
    return max(0, kernel - 1) * size * keys.number("hyper_connection.count") * n_embd
