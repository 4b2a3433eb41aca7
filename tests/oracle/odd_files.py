"""Odd files for Hypothesis: a sound one of any architecture, in other types, forms, encodings and parts.

A file is changed in a few of the ways below, of which the engine refuses some; what it takes, ours must read.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import isfinite
from typing import Final

from hypothesis import strategies as st

from tests.leader.model.gguf_bytes import FORMS, Entry, GgufFile, Typed

_RANGES: Final = {
    "u8": (0, 2**8 - 1), "i8": (-(2**7), 2**7 - 1), "u16": (0, 2**16 - 1), "i16": (-(2**15), 2**15 - 1),
    "u32": (0, 2**32 - 1), "i32": (-(2**31), 2**31 - 1), "u64": (0, 2**64 - 1), "i64": (-(2**63), 2**63 - 1),
}  # fmt: skip
_KINDS: Final = (*FORMS, "str")
_ESTIMATED: Final = (
    "attention.head_count", "attention.head_count_kv", "attention.key_length", "attention.value_length",
    "attention.sliding_window", "attention.sliding_window_pattern", "attention.shared_kv_layers",
    "attention.recurrent_layers", "attention.kv_lora_rank", "feed_forward_length", "context_length",
    "expert_feed_forward_length", "expert_shared_feed_forward_length", "expert_count", "expert_used_count",
    "leading_dense_block_count", "nextn_predict_layers", "ssm.inner_size", "ssm.state_size",
    "ssm.group_count", "ssm.conv_kernel", "ssm.time_step_rank", "rope.dimension_count", "vocab_size",
    "decoder_block_count", "pooling_type", "full_attention_interval",
)  # fmt: skip
"""Keys that may feed an estimate, whichever the architecture reads."""
_TEXTS: Final = st.one_of(
    st.binary(max_size=12), st.text(max_size=6).map(lambda text: text.encode("utf-16-le"))
)

Change = Callable[[st.DrawFn, GgufFile], None]


def _one(draw: st.DrawFn, kind: str, likely: int) -> object:
    """A value of a kind, mostly ``likely`` where it can be."""
    if kind == "str":
        return draw(_TEXTS)
    if kind == "bool":
        return bool(likely)
    if kind in ("f32", "f64"):
        return draw(st.sampled_from([float(likely), 0.5, -1.0]))
    low, high = _RANGES[kind]
    odd = st.sampled_from([0, 1, -1, low, high])
    value = draw(st.one_of(st.just(likely), st.just(likely), odd))
    return min(max(value, low), high)


def _typed(draw: st.DrawFn, likely: int, layers: int) -> Typed:
    """A number near ``likely`` or something else, as one value or as a list."""
    kind = draw(st.one_of(st.just("u32"), st.sampled_from(_KINDS)))
    if draw(st.booleans()):
        return kind, _one(draw, kind, likely)
    length = draw(st.sampled_from([layers, layers, layers, 0, 1, layers + 1]))
    return kind, [_one(draw, kind, likely) for _ in range(length)]


def _number(file: GgufFile, key: bytes) -> int:
    value = file.metadata.get(key, ("u32", 2))[1]
    value = value[0] if isinstance(value, list) and value else value
    return int(value) if isinstance(value, int | float) and isfinite(value) else 2


def _name(file: GgufFile) -> bytes:
    value = file.metadata[b"general.architecture"][1]
    assert isinstance(value, bytes)
    return value


def _layers(file: GgufFile) -> int:
    return _number(file, _name(file) + b".block_count")


def _other_type(draw: st.DrawFn, file: GgufFile) -> None:
    """A key of the file as another type, or as a list."""
    key = draw(st.sampled_from(sorted(file.metadata)))
    file.metadata[key] = _typed(draw, _number(file, key), _layers(file))


def _estimated(draw: st.DrawFn, file: GgufFile) -> None:
    """A key that feeds an estimate, in any form, whether the architecture reads it or not."""
    key = _name(file) + b"." + draw(st.sampled_from(_ESTIMATED)).encode()
    file.metadata[key] = _typed(draw, _number(file, key), _layers(file))


def _by_layer(draw: st.DrawFn, file: GgufFile) -> None:
    """A number of the architecture as a list of as many as there are layers, or one of a list."""
    keys = [key for key, (kind, _) in file.metadata.items() if key.startswith(_name(file)) and kind != "str"]
    key = draw(st.sampled_from(sorted(keys)))
    kind, value = file.metadata[key]
    if isinstance(value, list):
        file.metadata[key] = (kind, value[0])
    else:
        small = isinstance(value, int) and value < 1 << 31
        other = [kind, "i32"] if kind == "u32" and small else [kind]
        file.metadata[key] = (draw(st.sampled_from(other)), [value] * _layers(file))


def _absent(draw: st.DrawFn, file: GgufFile) -> None:
    """A key less."""
    del file.metadata[draw(st.sampled_from(sorted(file.metadata)))]


def _unknown(draw: st.DrawFn, file: GgufFile) -> None:
    """A key that nobody knows, in whatever encoding."""
    file.metadata[b"x" + draw(_TEXTS)] = _typed(draw, 7, _layers(file))


def _texts(draw: st.DrawFn, file: GgufFile) -> None:
    """Descriptions in whatever encoding."""
    key = draw(
        st.sampled_from([b"general.name", b"general.author", b"general.type", b"tokenizer.chat_template"])
    )
    file.metadata[key] = ("str", draw(_TEXTS))


def _merged(draw: st.DrawFn, file: GgufFile) -> None:
    """Split keys that a tool left in a merged file, or that are of no type that the engine reads."""
    kind = draw(st.one_of(st.just("u16"), st.sampled_from(tuple(FORMS))))
    file.metadata[b"split.count"] = (kind, draw(st.sampled_from([0, 1])))
    file.metadata[b"split.no"] = (kind, draw(st.sampled_from([0, 1])))
    file.metadata[b"split.tensors.count"] = ("i32", draw(st.sampled_from([0, 7, len(file.tensors)])))


def _aligned(draw: st.DrawFn, file: GgufFile) -> None:
    file.alignment = draw(st.sampled_from([1, 2, 16, 64, 4096]))
    file.metadata[b"general.alignment"] = (draw(st.sampled_from(["u32", "u32", "u64"])), file.alignment)


def _stripped(draw: st.DrawFn, file: GgufFile) -> None:
    """A layer without tensors; it may be the last one, and count as one that drafts."""
    layers = _layers(file)
    layer = draw(st.sampled_from([layers - 1, draw(st.integers(0, layers - 1))]))
    file.tensors = [tensor for tensor in file.tensors if not tensor.name.startswith(f"blk.{layer}.".encode())]
    if draw(st.booleans()):
        file.metadata[_name(file) + b".nextn_predict_layers"] = ("u32", 1)


def _one_more(draw: st.DrawFn, file: GgufFile) -> None:
    """A layer that only the header counts, and that drafts or does nothing at all."""
    layers = _layers(file)
    file.metadata[_name(file) + b".block_count"] = ("u32", layers + 1)
    if draw(st.booleans()):
        file.metadata[_name(file) + b".nextn_predict_layers"] = ("u32", 1)
    for key, (kind, value) in list(file.metadata.items()):
        if isinstance(value, list) and len(value) == layers and key.startswith(_name(file)):
            file.metadata[key] = (kind, [*value, draw(st.sampled_from([value[-1], 0]))])


def _tensor(draw: st.DrawFn, file: GgufFile) -> None:
    """A tensor less, renamed, of another type, or one that nobody knows."""
    at = draw(st.integers(0, len(file.tensors) - 1))
    match draw(st.sampled_from(["less", "renamed", "type", "more"])):
        case "less":
            del file.tensors[at]
        case "renamed":
            file.tensors[at] = replace(file.tensors[at], name=file.tensors[at].name + draw(_TEXTS))
        case "type":
            file.tensors[at] = replace(file.tensors[at], type=draw(st.sampled_from([0, 1, 30])))
        case _:
            file.tensors.insert(at, Entry(b"rope_freqs.weight", (draw(st.integers(0, 128)),)))


def _order(draw: st.DrawFn, file: GgufFile) -> None:
    """Entries in another order, in a file of the version before."""
    keys = draw(st.permutations(sorted(file.metadata)))
    file.metadata = {key: file.metadata[key] for key in keys}
    file.version = 2


_CHANGES: Final[tuple[Change, ...]] = (
    _other_type, _estimated, _estimated, _by_layer, _absent, _unknown, _texts, _merged, _aligned, _stripped,
    _one_more, _tensor, _order,
)  # fmt: skip


@st.composite
def odd_files(draw: st.DrawFn, sound: Sequence[GgufFile]) -> GgufFile:
    """One of ``sound``, changed in one to four ways."""
    chosen = draw(st.sampled_from(sound))
    file = replace(chosen, metadata=dict(chosen.metadata), tensors=list(chosen.tensors))
    for change in draw(st.lists(st.sampled_from(_CHANGES), min_size=1, max_size=4)):
        if b"general.architecture" in file.metadata and file.metadata[b"general.architecture"][0] == "str":
            change(draw, file)
    file.told = _difference(chosen, file)
    return file


def _difference(sound: GgufFile, odd: GgufFile) -> str:
    """What is odd, in a few lines."""
    keys = [key for key in sound.metadata if key not in odd.metadata]
    news = [(key, typed) for key, typed in odd.metadata.items() if sound.metadata.get(key) != typed]
    tensors = set(sound.tensors) ^ set(odd.tensors)
    name = sound.metadata[b"general.architecture"][1]
    return f"{name!r} without {keys}, with {news}, other tensors {sorted(str(one) for one in tensors)}"[:2000]
