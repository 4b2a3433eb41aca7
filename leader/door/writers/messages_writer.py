"""Tells a chat completion as Anthropic's Messages API does, as events or as a whole message. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from leader.door.dialects.error_shapes import sse_event
from leader.door.orders import ErrorShape
from leader.door.writers.chat_pieces import ChatHead, ChatPiece, ChatUsage, PieceKind, pieces_of
from leader.door.writers.single_end import SingleEnd

_STOP_REASONS: Final = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


class MessagesWriter(SingleEnd):
    """One answer's events. ``repeats`` is what `anthropic_messages.to_chat` gave.

    A block ends when another begins.
    """

    shape = ErrorShape.ANTHROPIC

    def __init__(self, repeats: Mapping[str, Any]) -> None:
        super().__init__()
        self._stops = list(repeats.get("stop_sequences") or ())
        self._prefill = str(repeats.get("begun") or "")
        self._head = ChatHead()
        self._begun = False
        self._block: ChatPiece | None = None
        self._blocks = 0

    def whole(self, answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the message that a whole chat completion becomes."""
        [answer] = answers
        self._head.note(answer)
        pieces = [self._without_prefill(piece) for piece in pieces_of(answer)]
        blocks = [_whole_block(piece, self._head.suffix) for piece in pieces]
        return self._message(blocks, self._stop(), self._head.usage)

    def _without_prefill(self, piece: ChatPiece) -> ChatPiece:
        """Leave out what the client itself had begun: llama-server does so in streams alone."""
        if piece.kind is not PieceKind.TEXT:
            return piece
        return replace(piece, text=piece.text.removeprefix(self._prefill))

    def _chunk(self, index: int, value: Mapping[str, Any]) -> bytes:
        self._head.note(value)
        out = b""
        if not self._begun:
            self._begun = True
            out = _named("message_start", message=self._message([], None, self._head.usage))
        elif "prompt_progress" in value:
            return _named("ping")
        return out + b"".join(self._tell(piece) for piece in pieces_of(value))

    def _last(self) -> bytes:
        if not self._head.finish:
            return self._fail("upstream_lost", "the answer broke off")
        reason, word = self._stop()
        delta = {"stop_reason": reason, "stop_sequence": word}
        usage = _usage(self._head.usage)
        return self._close() + _named("message_delta", delta=delta, usage=usage) + _named("message_stop")

    def _tell(self, piece: ChatPiece) -> bytes:
        out = b""
        if self._block is None or self._block.whose != piece.whose:
            out = self._close()
            self._block = piece
            block = _first_block(piece, self._head.suffix)
            out += _named("content_block_start", index=self._blocks, content_block=block)
        if piece.text:
            out += self._delta(_delta(piece))
        return out

    def _close(self) -> bytes:
        """End the block that is open, if one is."""
        if self._block is None:
            return b""
        out = b""
        if self._block.kind is PieceKind.THOUGHT:
            # Nobody signs thoughts here, and nobody checks them when they come back.
            out = self._delta({"type": "signature_delta", "signature": ""})
        out += _named("content_block_stop", index=self._blocks)
        self._block = None
        self._blocks += 1
        return out

    def _delta(self, delta: Mapping[str, Any]) -> bytes:
        return _named("content_block_delta", index=self._blocks, delta=delta)

    def _stop(self) -> tuple[str, str | None]:
        word = self._head.stopping_word
        if self._head.finish == "stop" and word in self._stops:
            return "stop_sequence", word
        return _STOP_REASONS.get(self._head.finish, "end_turn"), None

    def _message(
        self, content: list[dict[str, Any]], stop: tuple[str, str | None] | None, usage: ChatUsage
    ) -> dict[str, Any]:
        reason, word = stop or (None, None)
        return {
            "id": "msg_" + self._head.suffix,
            "type": "message",
            "role": "assistant",
            "model": self._head.model,
            "content": content,
            "stop_reason": reason,
            "stop_sequence": word,
            "usage": _usage(usage),
        }


def count_of(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return how Anthropic's API tells llama-server's count of a chat's tokens."""
    return {"input_tokens": answer.get("input_tokens", 0)}


def _usage(usage: ChatUsage) -> dict[str, Any]:
    return {
        "input_tokens": max(0, usage.prompt - usage.cached),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.completion,
    }


def _first_block(piece: ChatPiece, suffix: str) -> dict[str, Any]:
    if piece.kind is PieceKind.THOUGHT:
        return {"type": "thinking", "thinking": "", "signature": ""}
    if piece.kind is PieceKind.TEXT:
        return {"type": "text", "text": ""}
    name = piece.id or f"toolu_{suffix}_{piece.call}"
    return {"type": "tool_use", "id": name, "name": piece.name, "input": {}}


def _whole_block(piece: ChatPiece, suffix: str) -> dict[str, Any]:
    block = _first_block(piece, suffix)
    if piece.kind is PieceKind.CALL:
        block["input"] = _input(piece.text)
    else:
        block["thinking" if piece.kind is PieceKind.THOUGHT else "text"] = piece.text
    return block


def _input(arguments: str) -> dict[str, Any]:
    """Return what a tool is called with; an answer cut short leaves it unreadable."""
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _delta(piece: ChatPiece) -> dict[str, Any]:
    if piece.kind is PieceKind.THOUGHT:
        return {"type": "thinking_delta", "thinking": piece.text}
    if piece.kind is PieceKind.TEXT:
        return {"type": "text_delta", "text": piece.text}
    return {"type": "input_json_delta", "partial_json": piece.text}


def _named(name: str, **fields: Any) -> bytes:
    return sse_event(name, {"type": name, **fields})
