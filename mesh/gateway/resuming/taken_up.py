"""The leader's word that it has taken an answer up, before the events of the rest."""

import json
from typing import Any, Final, Literal, NamedTuple

from mesh.gateway.resuming.dialects import parse_event

Ending = Literal["", "limit", "full", "eos", "word"]

MAX_PROMPT: Final = 1 << 31
"""More tokens than any prompt has."""

_MARK: Final = b"event: continued\n"
_ENDINGS: Final[tuple[Ending, ...]] = ("", "limit", "full", "eos", "word")


class TakenUp(NamedTuple):
    """How an answer goes on: by the ids of its tokens, or ``by_text``.

    ``ending``: all tokens are there, for this reason, and the stream only brings the end. llama-server
    generates a token even then, which is dropped. ``last`` is the text that came with the last tokens, and
    the part of it in the prompt: where the answer has ended, its last token is not in the prompt.
    ``prompt_tokens`` counts the original prompt; 0 where it goes on by text.
    """

    by_text: bool
    prompt_tokens: int
    ending: Ending
    last: tuple[str, str] = ("", "")


def taken_up_event(taken_up: TakenUp) -> bytes:
    """Write the event."""
    return _MARK + b"data: " + json.dumps(taken_up._asdict()).encode() + b"\n\n"


def read_taken_up(event: bytes) -> TakenUp | None:
    """Read the event; None for another. Raises ``ValueError`` where it makes no sense."""
    if not event.startswith(_MARK):
        return None
    value: Any = parse_event(event[len(_MARK) :])
    match value:
        case {
            "by_text": bool(by_text),
            "prompt_tokens": int(prompt_tokens),
            "ending": ending,
            "last": [str(last), str(kept)],
        } if ending in _ENDINGS and 0 <= prompt_tokens < MAX_PROMPT:
            return TakenUp(by_text, prompt_tokens, ending, (last, kept))
    raise ValueError("the leader says nothing that makes sense of how the answer goes on")
