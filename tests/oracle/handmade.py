"""Tiny files of architectures that the engine's own test does not write."""

from tests.leader.model.gguf_bytes import Entry, GgufFile, Typed

_EMBD, _FFN, _VOCABULARY, _CONTEXT = 64, 96, 32, 64


def _header(architecture: str, layers: int, **numbers: Typed) -> dict[bytes, Typed]:
    name = architecture.encode()
    metadata: dict[bytes, Typed] = {
        b"general.architecture": ("str", name),
        b"tokenizer.ggml.model": ("str", b"none"),
        b"tokenizer.ggml.token_type_count": ("u32", 2),
    }
    own: dict[str, Typed] = {
        "vocab_size": ("u32", _VOCABULARY),
        "context_length": ("u32", _CONTEXT),
        "embedding_length": ("u32", _EMBD),
        "block_count": ("u32", layers),
        "feed_forward_length": ("u32", _FFN),
        "attention.head_count": ("u32", 2),
        "attention.layer_norm_epsilon": ("f32", 1e-5),
        "attention.layer_norm_rms_epsilon": ("f32", 1e-5),
        **numbers,
    }
    return metadata | {name + b"." + key.encode(): typed for key, typed in own.items()}


def _blocks(pattern: str, layers: int, shapes: dict[str, tuple[int, ...]]) -> list[Entry]:
    return [
        Entry(f"{pattern}.{layer}.{name}".encode(), shape)
        for layer in range(layers)
        for name, shape in shapes.items()
    ]


def t5(encoder: int = 2, decoder: int = 2) -> GgufFile:
    """An encoder and a decoder of so many layers each; without a decoder an encoder alone."""
    square, norm = (_EMBD, _EMBD), (_EMBD,)
    attention = {f"attn_{one}.weight": square for one in "qkvo"}
    ffn = {"ffn_norm.weight": norm, "ffn_up.weight": (_EMBD, _FFN), "ffn_down.weight": (_FFN, _EMBD)}
    block = {"attn_norm.weight": norm, **attention, **ffn, "attn_rel_b.weight": (2, 8)}
    cross = {"cross_attn_norm.weight": norm, **{f"cross_attn_{one}.weight": square for one in "qkvo"}}
    buckets: dict[str, Typed] = {"attention.relative_buckets_count": ("u32", 8)}
    if decoder:
        buckets["decoder_block_count"] = ("u32", decoder)
    return GgufFile(
        _header("t5" if decoder else "t5encoder", encoder, **buckets),
        [
            Entry(b"token_embd.weight", (_EMBD, _VOCABULARY)),
            Entry(b"enc.output_norm.weight", norm),
            *([Entry(b"dec.output_norm.weight", norm)] if decoder else []),
            *_blocks("enc.blk", encoder, block),
            *_blocks("dec.blk", decoder, {**block, **cross}),
        ],
    )


def bert(layers: int = 2) -> GgufFile:
    """An encoder for embeddings."""
    square, norm = (_EMBD, _EMBD), (_EMBD,)
    norms = {
        f"{name}.{kind}": norm
        for name in ("attn_output_norm", "layer_output_norm")
        for kind in ("weight", "bias")
    }
    weights = {f"attn_{one}.weight": square for one in ("q", "k", "v", "output")}
    ffn = {"ffn_up.weight": (_EMBD, _FFN), "ffn_down.weight": (_FFN, _EMBD)}
    metadata = _header("bert", layers, **{"attention.causal": ("bool", False), "pooling_type": ("u32", 1)})
    return GgufFile(
        metadata,
        [
            Entry(b"token_embd.weight", (_EMBD, _VOCABULARY)),
            Entry(b"position_embd.weight", (_EMBD, _CONTEXT)),
            Entry(b"token_embd_norm.weight", norm),
            Entry(b"token_embd_norm.bias", norm),
            *_blocks("blk", layers, {**weights, **norms, **ffn}),
        ],
    )
