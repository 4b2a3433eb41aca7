"""Chunks and whole answers are read whatever they look like."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from leader.door.writers.chat_pieces import ChatHead, ChatPiece, ChatUsage, PieceKind, pieces_of, read_usage
from tests.leader.door.writers.chat_streams import CALL, MORE, USAGE, chat_stream, delta

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_NAMES = ("id", "created", "model", "choices", "usage", "prompt_progress", "__verbose", "timings")
_INNER = (
    "delta",
    "message",
    "finish_reason",
    "tool_calls",
    "content",
    "reasoning_content",
    "function",
    "index",
)


def test_a_chunk_says_thoughts_then_text_then_calls() -> None:
    chunk = delta(content="b", reasoning_content="a", tool_calls=[CALL, MORE])
    assert pieces_of(chunk) == [
        ChatPiece(PieceKind.THOUGHT, "a"),
        ChatPiece(PieceKind.TEXT, "b"),
        ChatPiece(PieceKind.CALL, '{"x":', 0, "c1", "look"),
        ChatPiece(PieceKind.CALL, '"é"}', 0),
    ]


def test_a_head_knows_the_answers_name_end_and_cost() -> None:
    head = ChatHead()
    for chunk in chat_stream({"content": "x"}, finish="length"):
        head.note(chunk)
    assert (head.suffix, head.created, head.model, head.finish) == ("7Xy", 1700000000, "m", "length")
    assert head.usage == ChatUsage(12, 4, 5)


def test_progress_tells_of_the_prompt_before_anything_is_said() -> None:
    assert read_usage({"prompt_progress": {"total": 9, "cache": 2, "processed": 3}}) == ChatUsage(9, 2)
    assert read_usage({"usage": USAGE}) == ChatUsage(12, 4, 5)
    assert read_usage({}) is None


@given(
    st.dictionaries(
        st.sampled_from(_NAMES),
        _JSON | st.lists(st.dictionaries(st.sampled_from(_INNER), _JSON | st.lists(_JSON)), max_size=2),
    )
)
def test_no_chunk_is_too_strange_to_be_read(value: dict[str, Any]) -> None:
    ChatHead().note(value)
    pieces_of(value)
