"""What the door decides of a request. Pure.

A request is refused (`Refused`), answered by the door itself (`OwnAnswer`), or becomes an `Order`: requests
to llama-server that the door has written itself, from fields that it knows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Unacceptable(ValueError):
    """A field of a request is out of bounds, or the engine's own. Says which, and what would be right."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field
        self.message = message


class ErrorShape(Enum):
    """How a path's clients want errors, as a whole answer and as the last event of a stream."""

    OPENAI = "openai"
    """``{"error": {"message", "type", "code", "param"}}``, llama-server's own paths too."""
    ANTHROPIC = "anthropic"
    """``{"type": "error", "error": {"type", "message"}}``, in a stream after ``event: error``."""
    RESPONSES = "responses"
    """As OpenAI's; in a stream ``event: error`` with ``{"type": "error", "code", "message", "param"}``."""


class SlotUse(Enum):
    """Which slots of llama-server an order takes."""

    PICKED = "picked"
    """One, of the door's choice, for each of its bodies."""
    ENGINES = "engines"
    """Those that llama-server chooses (embeddings, reranking): what they hold then is nobody's."""
    NONE = "none"
    """None, as for tokenizing."""


class AnswerForm(Enum):
    """In which form the client wants the answer."""

    AS_IS = "as it is"
    """As llama-server gives it; only with one body."""
    CHAT = "chat"
    """Several answers as one chat completion with as many choices."""
    TEXT = "text"
    """Several answers as one text completion with as many choices."""
    NATIVE = "native"
    """Several answers as llama-server's own list (whole), or its events with an ``index``."""
    MESSAGES = "messages"
    """A chat completion, told as Anthropic's Messages API does."""
    RESPONSES = "responses"
    """A chat completion, told as OpenAI's Responses API does."""
    COUNT_MESSAGES = "count messages"
    """``{"input_tokens"}`` of a chat, as Anthropic's Messages API counts."""


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What the door knows of the llama-server behind it: model's name, tokens of a slot, slots.

    ``embeds``: it was started for embeddings, or for ranks (``ranks``), which take slots of its own choice.
    ``sees``: its model takes pictures. ``vocabulary``: how many tokens that has; 0: nobody knows.
    """

    model: str
    context: int
    slots: int
    embeds: bool = False
    ranks: bool = False
    sees: bool = False
    vocabulary: int = 0


@dataclass(frozen=True, slots=True)
class Refused:
    """The request is refused with this status; ``field`` is the one to blame, if it is one.

    Asking again makes sense after ``retry_after`` seconds; 0: it makes none, or nobody knows when. Where the
    method is wrong, ``allow`` has those that the path takes.
    """

    status: int
    code: str
    message: str
    field: str | None = None
    shape: ErrorShape = ErrorShape.OPENAI
    retry_after: float = 0.0
    allow: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OwnAnswer:
    """The door answers ``what`` (``slots`` or ``props``) itself: it tells a client of its own alone."""

    what: str


@dataclass(frozen=True, slots=True)
class Order:
    """Requests to llama-server, written by the door.

    ``bodies`` are JSON objects, encoded, each for one answer; empty for a GET. ``id_slot`` and
    ``cache_prompt`` are not in them: who performs the order adds them.
    """

    method: str
    path: str
    bodies: tuple[bytes, ...]
    slot_use: SlotUse
    form: AnswerForm = AnswerForm.AS_IS
    shape: ErrorShape = ErrorShape.OPENAI
    streaming: bool = False
    dropped: tuple[str, ...] = ()
    """Fields that llama-server does not get, as paths (``metadata``, ``messages.0.cache_control``)."""
    beginnings: tuple[tuple[int, ...], ...] = ()
    """Of each body: hashes of the prompt's beginnings, each one longer than the one before."""
    wants_usage: bool = False
    """Whether a stream of chat or text completions is to end with a chunk about usage."""
    digest: bytes = b""
    """The same for the same question, however its answer is to be told."""
    repeats: Mapping[str, object] = field(default_factory=dict)
    """Fields of the request that the answer repeats, as the Responses API does."""


Verdict = Refused | OwnAnswer | Order
