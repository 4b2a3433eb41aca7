"""The paths that the door opens, as they are sent. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

CHATS = "/v1/chat/completions"
COUNT = "/v1/chat/completions/input_tokens"


class Purpose(Enum):
    """What a path asks for."""

    LOOK = "look"
    """A GET that the engine answers without telling anything of others."""
    OWN = "own"
    CHAT = "chat"
    CHAT_TEXT = "chat text"
    """A chat without an answer: its prompt, or its length."""
    MESSAGES = "messages"
    COUNT_MESSAGES = "count messages"
    RESPONSES = "responses"
    COUNT_RESPONSES = "count responses"
    TEXT = "text"
    NATIVE = "native"
    INFILL = "infill"
    EMBEDDINGS = "embeddings"
    RERANK = "rerank"
    TOKENIZE = "tokenize"
    DETOKENIZE = "detokenize"


@dataclass(frozen=True, slots=True)
class Route:
    """One path: its method, what it asks for, and the engine's path for it."""

    method: str
    asked: Purpose
    engine_path: str

    @property
    def methods(self) -> tuple[str, ...]:
        """What may be asked with: of what can be read, the head alone as well."""
        return ("GET", "HEAD") if self.method == "GET" else (self.method,)


def _get(path: str, asked: Purpose = Purpose.LOOK) -> Route:
    return Route("GET", asked, path)


def _post(path: str, asked: Purpose) -> Route:
    return Route("POST", asked, path)


_EMBEDDINGS = _post("/embeddings", Purpose.EMBEDDINGS)
_RERANK = _post("/v1/rerank", Purpose.RERANK)
_RESPONSES = _post(CHATS, Purpose.RESPONSES)
_COUNT_RESPONSES = _post(COUNT, Purpose.COUNT_RESPONSES)

ROUTES: Mapping[bytes, Route] = {
    b"/health": _get("/health"),
    b"/v1/health": _get("/v1/health"),
    b"/models": _get("/models"),
    b"/v1/models": _get("/v1/models"),
    b"/slots": _get("/slots", Purpose.OWN),
    b"/props": _get("/props", Purpose.OWN),
    b"/v1/chat/completions": _post(CHATS, Purpose.CHAT),
    b"/chat/completions": _post(CHATS, Purpose.CHAT),
    b"/v1/chat/completions/input_tokens": _post(COUNT, Purpose.CHAT_TEXT),
    b"/chat/completions/input_tokens": _post(COUNT, Purpose.CHAT_TEXT),
    b"/apply-template": _post("/apply-template", Purpose.CHAT_TEXT),
    b"/v1/messages": _post(CHATS, Purpose.MESSAGES),
    b"/v1/messages/count_tokens": _post(COUNT, Purpose.COUNT_MESSAGES),
    b"/v1/responses": _RESPONSES,
    b"/responses": _RESPONSES,
    b"/v1/responses/input_tokens": _COUNT_RESPONSES,
    b"/responses/input_tokens": _COUNT_RESPONSES,
    b"/v1/completions": _post("/v1/completions", Purpose.TEXT),
    b"/completion": _post("/completion", Purpose.NATIVE),
    b"/completions": _post("/completion", Purpose.NATIVE),
    b"/infill": _post("/infill", Purpose.INFILL),
    b"/v1/embeddings": _post("/v1/embeddings", Purpose.EMBEDDINGS),
    b"/embeddings": _EMBEDDINGS,
    b"/embedding": _EMBEDDINGS,
    b"/rerank": _RERANK,
    b"/reranking": _RERANK,
    b"/v1/rerank": _RERANK,
    b"/v1/reranking": _RERANK,
    b"/tokenize": _post("/tokenize", Purpose.TOKENIZE),
    b"/detokenize": _post("/detokenize", Purpose.DETOKENIZE),
}
