"""What a deployment cannot do, in words: a model gives answers, embeddings or ranks, one of them. Pure."""

from typing import Final

from leader.door.orders import EngineFacts
from leader.door.routes import Purpose

_ANY: Final = frozenset((Purpose.LOOK, Purpose.OWN, Purpose.TOKENIZE, Purpose.DETOKENIZE))


def why_not_given(asked: Purpose, engine: EngineFacts) -> str:
    """Why the engine cannot give what is asked, and what to do about it; empty where it can."""
    if asked in _ANY:
        return ""
    wanted = {Purpose.EMBEDDINGS: "embeddings", Purpose.RERANK: "ranks"}.get(asked, "answers")
    given = "ranks" if engine.ranks else "embeddings" if engine.embeds else "answers"
    if wanted == given:
        return ""
    return f"{engine.model} is served for {given}, not for {wanted}: {_HINTS[given, wanted]}"


_FOR_ANSWERS: Final = "serve a model that chats, with mesh serve MODEL"
_HINTS: Final = {
    (
        "answers",
        "embeddings",
    ): "an owner serves it, or an embedding model, with mesh serve MODEL --embeddings",
    ("answers", "ranks"): "an owner serves a reranking model with mesh serve MODEL --embeddings",
    ("embeddings", "answers"): f"ask POST /v1/embeddings, or {_FOR_ANSWERS}",
    ("embeddings", "ranks"): "ask POST /v1/embeddings, or serve a reranking model",
    ("ranks", "answers"): f"ask POST /v1/rerank, or {_FOR_ANSWERS}",
    ("ranks", "embeddings"): "ask POST /v1/rerank, or serve an embedding model",
}
