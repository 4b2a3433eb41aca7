"""What llama-server's chat completions say, piece by piece, to be told in another way. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any


class PieceKind(Enum):
    """What a piece of an answer is of."""

    THOUGHT = "thought"
    TEXT = "text"
    CALL = "call"


@dataclass(frozen=True, slots=True)
class ChatPiece:
    """Part of an answer. Of a call: ``call`` is its number, ``text`` is of its arguments."""

    kind: PieceKind
    text: str = ""
    call: int = 0
    id: str = ""
    name: str = ""

    @property
    def whose(self) -> tuple[PieceKind, int]:
        """Equal in all pieces that belong together."""
        return self.kind, self.call


@dataclass(frozen=True, slots=True)
class ChatUsage:
    """Tokens of a request and its answer. ``cached`` are those of ``prompt`` that were not computed anew."""

    prompt: int = 0
    cached: int = 0
    completion: int = 0


class ChatHead:
    """What the chunks of one answer say of it as a whole, so far."""

    def __init__(self) -> None:
        self.suffix = ""
        self.created = 0
        self.model = ""
        self.finish = ""
        self.usage = ChatUsage()
        self.stopping_word = ""

    def note(self, value: Mapping[str, Any]) -> None:
        """Take a chunk, or a whole chat completion."""
        if not self.suffix:
            self.suffix = str(value.get("id", "")).removeprefix("chatcmpl-")
            self.created = whole_number(value.get("created"))
            self.model = str(value.get("model", ""))
        self.usage = read_usage(value) or self.usage
        verbose = value.get("__verbose")
        if isinstance(verbose, Mapping):
            self.stopping_word = str(verbose.get("stopping_word") or "")
        choice = only_choice(value)
        if finish := choice.get("finish_reason"):
            self.finish = str(finish)


def pieces_of(value: Mapping[str, Any]) -> list[ChatPiece]:
    """Return what a chunk, or a whole chat completion, says, in order: thoughts, text, calls."""
    choice = only_choice(value)
    said = choice.get("delta") or choice.get("message")
    if not isinstance(said, Mapping):
        return []
    pieces = []
    for kind, name in ((PieceKind.THOUGHT, "reasoning_content"), (PieceKind.TEXT, "content")):
        text = said.get(name)
        if text and isinstance(text, str):
            pieces.append(ChatPiece(kind, text))
    calls = said.get("tool_calls")
    for place, call in enumerate(calls if isinstance(calls, list) else ()):
        if isinstance(call, Mapping):
            pieces.append(_call(call, place))
    return pieces


def only_choice(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the one choice of a chunk or an answer; empty where there is none, as in a chunk of usage."""
    choices = value.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    return choice if isinstance(choice, Mapping) else {}


def read_usage(value: Mapping[str, Any]) -> ChatUsage | None:
    """Return the usage that a chunk or an answer reports; of a prompt alone, while it is being computed."""
    progress = value.get("prompt_progress")
    if isinstance(progress, Mapping):
        return ChatUsage(whole_number(progress.get("total")), whole_number(progress.get("cache")))
    usage = value.get("usage")
    if not isinstance(usage, Mapping):
        return None
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, Mapping) else 0
    prompt, completion = (whole_number(usage.get(name)) for name in ("prompt_tokens", "completion_tokens"))
    return ChatUsage(prompt, whole_number(cached), completion)


def whole_number(value: object) -> int:
    """Return a number of tokens or seconds; 0 for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0


def _call(call: Mapping[str, Any], place: int) -> ChatPiece:
    function = call.get("function")
    function = function if isinstance(function, Mapping) else {}
    number = call.get("index", place)
    return ChatPiece(
        PieceKind.CALL,
        str(function.get("arguments") or ""),
        whole_number(number),
        str(call.get("id") or ""),
        str(function.get("name") or ""),
    )
