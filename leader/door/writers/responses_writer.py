"""Tells a chat completion as OpenAI's Responses API does, as events or as a whole response. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from leader.door.dialects.error_shapes import sse_event
from leader.door.orders import ErrorShape
from leader.door.writers.chat_pieces import ChatHead, ChatPiece, ChatUsage, PieceKind, pieces_of
from leader.door.writers.single_end import SingleEnd


class ResponsesWriter(SingleEnd):
    """One answer's events. ``repeats`` is what `openai_responses.to_chat` gave.

    An item ends when another begins.
    """

    shape = ErrorShape.RESPONSES

    def __init__(self, repeats: Mapping[str, Any]) -> None:
        super().__init__()
        self._repeats = dict(repeats)
        self._head = ChatHead()
        self._begun = False
        self._output: list[dict[str, Any]] = []
        self._open: ChatPiece | None = None
        self._id = ""
        self._text: list[str] = []

    def whole(self, answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the response that a whole chat completion becomes."""
        [answer] = answers
        self._head.note(answer)
        pieces = pieces_of(answer)
        for piece in pieces:
            status = self._status() if piece is pieces[-1] else "completed"
            self._output.append(_item(piece, self._item_id(piece), piece.text, status))
        return self._response(self._status())

    def _chunk(self, index: int, value: Mapping[str, Any]) -> bytes:
        self._head.note(value)
        out = b""
        if not self._begun:
            self._begun = True
            out = b"".join(
                self._named(name, response=self._response("in_progress"))
                for name in ("response.created", "response.in_progress")
            )
        return out + b"".join(self._tell(piece) for piece in pieces_of(value))

    def _last(self) -> bytes:
        if not self._head.finish:
            return self._fail("upstream_lost", "the answer broke off")
        status = self._status()
        out = self._close(status)
        return out + self._named(f"response.{status}", response=self._response(status))

    # --- items ----------------------------------------------------------------------------------------

    def _tell(self, piece: ChatPiece) -> bytes:
        out = b""
        if self._open is None or self._open.whose != piece.whose:
            out = self._close("completed") + self._begin(piece)
        if not piece.text:
            return out
        self._text.append(piece.text)
        if piece.kind is PieceKind.CALL:
            return out + self._of_item("response.function_call_arguments.delta", delta=piece.text)
        if piece.kind is PieceKind.THOUGHT:
            return out + self._of_part("response.reasoning_text.delta", delta=piece.text)
        return out + self._of_part("response.output_text.delta", delta=piece.text, logprobs=[])

    def _begin(self, piece: ChatPiece) -> bytes:
        self._open, self._id = piece, self._item_id(piece)
        out = self._whole_item("response.output_item.added", _item(piece, self._id, "", "in_progress"))
        if piece.kind is not PieceKind.CALL:
            out += self._of_part("response.content_part.added", part=_part(piece.kind, ""))
        return out

    def _close(self, status: str) -> bytes:
        """End the item that is open, if one is."""
        piece, self._open = self._open, None
        if piece is None:
            return b""
        text = "".join(self._text)
        self._text.clear()
        if piece.kind is PieceKind.CALL:
            done = "response.function_call_arguments.done"
            out = self._of_item(done, name=piece.name, arguments=text)
        elif piece.kind is PieceKind.THOUGHT:
            out = self._of_part("response.reasoning_text.done", text=text)
        else:
            out = self._of_part("response.output_text.done", text=text, logprobs=[])
        if piece.kind is not PieceKind.CALL:
            out += self._of_part("response.content_part.done", part=_part(piece.kind, text))
        item = _item(piece, self._id, text, status)
        out += self._whole_item("response.output_item.done", item)
        self._output.append(item)
        return out

    def _item_id(self, piece: ChatPiece) -> str:
        prefix = {PieceKind.THOUGHT: "rs", PieceKind.TEXT: "msg", PieceKind.CALL: "fc"}[piece.kind]
        return f"{prefix}_{self._head.suffix}_{len(self._output)}"

    # --- events ---------------------------------------------------------------------------------------

    def _whole_item(self, kind: str, item: Mapping[str, Any]) -> bytes:
        return self._named(kind, output_index=len(self._output), item=item)

    def _of_item(self, kind: str, /, **fields: Any) -> bytes:
        return self._named(kind, item_id=self._id, output_index=len(self._output), **fields)

    def _of_part(self, kind: str, **fields: Any) -> bytes:
        return self._of_item(kind, content_index=0, **fields)

    def _named(self, kind: str, **fields: Any) -> bytes:
        event = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return sse_event(kind, event)

    def _status(self) -> str:
        return "incomplete" if self._head.finish == "length" else "completed"

    def _response(self, status: str) -> dict[str, Any]:
        head = self._head
        return {
            **self._repeats,
            "id": "resp_" + head.suffix,
            "object": "response",
            "created_at": head.created,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "model": head.model,
            "output": self._output,
            "previous_response_id": None,
            "store": False,
            "usage": None if status == "in_progress" else _usage(head.usage),
        }


def _item(piece: ChatPiece, name: str, text: str, status: str) -> dict[str, Any]:
    """Return an item of the output, as far as it is said."""
    item: dict[str, Any] = {"id": name, "status": status}
    if piece.kind is PieceKind.CALL:
        called = {"call_id": piece.id or f"call_{name}", "name": piece.name, "arguments": text}
        return {**item, "type": "function_call", **called}
    content = [] if status == "in_progress" else [_part(piece.kind, text)]
    if piece.kind is PieceKind.THOUGHT:
        return {**item, "type": "reasoning", "summary": [], "content": content}
    return {**item, "type": "message", "role": "assistant", "content": content}


def _part(kind: PieceKind, text: str) -> dict[str, Any]:
    if kind is PieceKind.THOUGHT:
        return {"type": "reasoning_text", "text": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _usage(usage: ChatUsage) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": 0},
        "output_tokens": usage.completion,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.prompt + usage.completion,
    }
