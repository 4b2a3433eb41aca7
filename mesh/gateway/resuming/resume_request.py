"""What a gateway asks the leader for that is to take up an answer: one message of another member's."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from mesh.gateway.resuming.pace import How
from mesh.gateway.resuming.reencoding import encode
from mesh.gateway.resuming.request import DIALECTS, as_completion
from mesh.gateway.resuming.settled_tokens import Gap, SettledTokens
from mesh.gateway.resuming.token_log import CONTEXT

RESUME_PATH: Final = "/resume"
"""Where the leader takes it, by POST, on a stream of its own kind."""
MAX_RESUME_REQUEST: Final = 8 << 20
"""Bytes of one: a large request, and ids and text of a long answer."""
MAX_TOKENS: Final = 1 << 18
"""Tokens of an answer that can be taken up."""

MAX_DEPTH: Final = 100
"""Levels to which the client's request may be nested: what Python has read it may not be able to write."""

_MAX_ID: Final = (1 << 31) - 1


class SaidText(NamedTuple):
    """Thought and text of an answer so far, and of how many tokens they are."""

    thought: str
    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class ResumeRequest:
    """An answer to be taken up: the client's request, and what its client has.

    It goes on from its ``tokens`` if they are known and their ids can be found, else from its ``text``; one
    of the two is there. ``paced``: a replay that turns out slow goes on as one batch. ``full``: the context
    has no room for more tokens.
    """

    path: str
    body: Mapping[str, Any]
    tokens: SettledTokens | None
    text: SaidText | None
    how: How
    paced: bool = True
    full: bool = False

    def question(self) -> bytes:
        """Return the client's request as it would have sent it, for the door to judge."""
        return encode(self.body)

    def judged(self, built: Mapping[str, Any]) -> "ResumeRequest":
        """Return the same with the body that the door has built of the client's.

        How the client wanted to be told stays, for the gateway tells it.
        """
        asked = as_completion(self.path, self.body)
        body = {key: value for key, value in built.items() if key not in ("stream", "stream_options")}
        if asked is not None and asked.streaming:
            body["stream"] = True
        if asked is not None and asked.wants_usage:
            body["stream_options"] = {"include_usage": True}
        return replace(self, body=body)


def encode_resume_request(request: ResumeRequest) -> bytes:
    """Encode for the leader."""
    tokens: dict[str, Any] | None = None
    if request.tokens is not None:
        gaps = [[gap.start, gap.end, gap.before, gap.text] for gap in request.tokens.gaps]
        tokens = {"ids": request.tokens.ids, "gaps": gaps, "last": request.tokens.last}
    return encode(
        {
            "path": request.path,
            "body": request.body,
            "tokens": tokens,
            "text": request.text,
            "how": request.how,
            "paced": request.paced,
            "full": request.full,
        }
    )


def decode_resume_request(content: bytes) -> ResumeRequest:
    """Decode what another member sent. Raises ``ValueError`` where anything of it is not as it should be."""
    if len(content) > MAX_RESUME_REQUEST:
        raise ValueError(f"the request has more than {MAX_RESUME_REQUEST} bytes")
    try:
        value = json.loads(content, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("the request is nested too deeply") from error
    match value:
        case {
            "path": str(path),
            "body": dict(body),
            "tokens": tokens,
            "text": text,
            "how": ("exact" | "fast") as how,
            "paced": bool(paced),
            "full": bool(full),
        } if len(value) == 7 and path in DIALECTS and not (tokens is None and text is None):
            if not _is_nested_at_most(body, MAX_DEPTH):
                raise ValueError("the request is nested too deeply")
            return ResumeRequest(path, body, _read_tokens(tokens), _read_text(text), how, paced, full)
    raise ValueError("the request is not one to take up an answer")


def _read_tokens(value: Any) -> SettledTokens | None:
    match value:
        case None:
            return None
        case {"ids": list(ids), "gaps": list(gaps), "last": [int(start), str(text)]} if (
            len(value) == 3 and 0 < len(ids) <= MAX_TOKENS and 0 <= start <= len(ids)
        ):
            if not all(id is None or (type(id) is int and 0 <= id <= _MAX_ID) for id in ids):
                raise ValueError("the ids of the tokens are no ids")
            return SettledTokens(tuple(ids), _read_gaps(gaps, ids), (start, text))
    raise ValueError("the tokens are not as they should be")


def _read_gaps(value: list[Any], ids: list[int | None]) -> tuple[Gap, ...]:
    """Read the gaps: in order, each with an unknown id, and all unknown ids in them."""
    gaps: list[Gap] = []
    unknown = end_before = 0
    for one in value:
        match one:
            case [int(start), int(end), str(before), str(text)] if (
                end_before <= start < end <= len(ids) and len(before) <= CONTEXT
            ):
                here = ids[start:end].count(None)
                if not here:
                    raise ValueError("a gap lacks nothing")
                gaps.append(Gap(start, end, before, text))
                unknown, end_before = unknown + here, end
            case _:
                raise ValueError("the gaps are not as they should be")
    if unknown != ids.count(None):
        raise ValueError("an unknown token is in no gap")
    return tuple(gaps)


def _read_text(value: Any) -> SaidText | None:
    match value:
        case None:
            return None
        case [str(thought), str(text), int(tokens)] if 0 < tokens <= MAX_TOKENS:
            return SaidText(thought, text, tokens)
    raise ValueError("the text is not as it should be")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON's")


def _is_nested_at_most(value: Any, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(
        _is_nested_at_most(one, levels - 1) for one in inner if isinstance(one, dict | list)
    )
