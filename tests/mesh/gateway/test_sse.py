from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.gateway.sse import MAX_EVENT, MAX_SPLIT_EVENT, EventFramer, EventSplitter, generated_tokens

STREAM = b'data: {"a":1}\n\n: ping\n\ndata: {"timings":{"predicted_n":7}}\r\n\r\ndata: [DONE]\n\n'


def test_half_an_event_waits_for_its_other_half() -> None:
    framer = EventFramer()
    assert framer.feed(b"data: a\n\ndata: b") == b"data: a\n\n"
    assert framer.feed(b"c\n") == b""
    assert framer.feed(b"\n") == b"data: bc\n\n"


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_events_are_the_same_wherever_the_stream_is_cut(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    framer = EventFramer()
    passed = [framer.feed(STREAM[a:b]) for a, b in pairwise(edges)]
    assert b"".join(passed) + framer.rest() == STREAM
    assert all(not piece or piece.endswith((b"\n", b"\r")) for piece in passed)
    assert (framer.events, framer.last, framer.tokens) == (2, b"data: [DONE]", 7)


def test_what_no_blank_line_ends_comes_out_at_the_end() -> None:
    framer = EventFramer()
    assert framer.feed(b"data: [DONE]\n") == b""
    assert framer.rest() == b"data: [DONE]\n"
    assert framer.last == b"data: [DONE]"


def test_an_event_without_end_is_not_held_back_for_ever() -> None:
    framer = EventFramer()
    assert framer.feed(b"data: " + b"x" * MAX_EVENT) != b""
    assert framer.rest() == b""


def test_the_number_of_tokens_is_read_where_llama_server_states_it() -> None:
    assert generated_tokens(b'{"usage":{"completion_tokens":12,"prompt_tokens":3}}') == 12
    assert generated_tokens(b'{"tokens_predicted": 4}') == 4
    assert generated_tokens(b"{}") is None


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_each_event_comes_whole_wherever_the_stream_is_cut(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    splitter = EventSplitter()
    events = [event for a, b in pairwise(edges) for event in splitter.feed(STREAM[a:b])]
    assert [event.strip() for event in events] == [part.strip() for part in STREAM.split(b"\n\n")[:2]] + [
        b'data: {"timings":{"predicted_n":7}}',
        b"data: [DONE]",
    ]


def test_an_event_that_has_to_be_read_whole_has_a_limit() -> None:
    splitter = EventSplitter()
    with pytest.raises(ValueError, match="without end"):
        splitter.feed(b"data: " + b"x" * MAX_SPLIT_EVENT)
