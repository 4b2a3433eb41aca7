"""What a model is made for, by its file's header: answers, vectors of texts, or ranks of them. Pure."""

from enum import Enum
from typing import Final

from leader.model.engine_settings import KV_TYPES, EngineSettings
from leader.model.graph_widths import WITHOUT_FLASH
from leader.model.layer_caches import DIFFUSERS, ENCODERS, UBATCH
from leader.model.model_info import ModelInfo
from mesh.wire.errors import MeshError

_SINGLE_VECTORS: Final = frozenset(("llama-embed", "t5encoder"))


class MadeFor(Enum):
    """What somebody gets of a model."""

    ANSWERS = "answers"
    EMBEDDINGS = "embeddings"
    RANKS = "ranks"


def made_for(model_info: ModelInfo) -> MadeFor:
    """What the model's file says that it is made for."""
    if model_info.pooling == "rank":
        return MadeFor.RANKS
    architecture = model_info.architecture
    if (
        model_info.pooling in ("mean", "cls", "last")
        or architecture in ENCODERS | _SINGLE_VECTORS
        or not (model_info.causal or architecture in DIFFUSERS)
    ):
        return MadeFor.EMBEDDINGS
    return MadeFor.ANSWERS


def keeps_context(model_info: ModelInfo) -> bool:
    """Whether the engine keeps keys and values of what the model has read."""
    return any(cache.rows for cache in model_info.caches)


def gives(model_info: ModelInfo, settings: EngineSettings) -> MadeFor:
    """What the model gives with these settings: of any model, vectors can be had."""
    if not settings.embeddings:
        return MadeFor.ANSWERS
    return MadeFor.RANKS if made_for(model_info) is MadeFor.RANKS else MadeFor.EMBEDDINGS


def pooling(model_info: ModelInfo) -> str:
    """How one vector is made of a text's: as the file says, else by the last token, which has read all.

    Of a model whose tokens all read all, it is their mean.
    """
    if model_info.pooling not in ("", "none"):
        return model_info.pooling
    return "last" if model_info.causal and model_info.architecture not in ENCODERS else "mean"


def batch(model_info: ModelInfo, settings: EngineSettings) -> int:
    """Tokens that the engine computes at once at most.

    A text whose vector is made of all its tokens has to be computed at once, so it is a slot's context then.
    """
    if not settings.embeddings:
        return UBATCH
    last = pooling(model_info) in ("last", "rank") and model_info.causal
    in_pieces = last and model_info.architecture not in ENCODERS
    return UBATCH if in_pieces else max(UBATCH, settings.context)


def refuse_other_use(model_info: ModelInfo, settings: EngineSettings) -> None:
    """Raise MeshError for a model that writes no answers and is to be served as if it did."""
    made = made_for(model_info)
    if made is not MadeFor.ANSWERS and not settings.embeddings:
        raise MeshError(
            f"{model_info.name} gives {made.value}, no answers",
            "serve it for what it gives: add --embeddings",
        )


def refuse_kv(model_info: ModelInfo, settings: EngineSettings) -> None:
    """Raise MeshError for keys and values in a form that the engine does not have for this model."""
    if not keeps_context(model_info):
        return
    _, elements = KV_TYPES[settings.kv]
    widths = [width for width in (model_info.key_width, model_info.value_width) if width % elements]
    why = ""
    if elements > 1 and widths:
        why = f"{settings.kv} packs {elements} numbers, and its heads are {widths[0]} wide"
    elif elements > 1 and model_info.architecture in WITHOUT_FLASH:
        why = "the engine has no flash attention for it"
    if why:
        raise MeshError(f"{model_info.name} cannot have --kv {settings.kv}: {why}", "leave --kv out")
