"""What a server on this machine answers, as a watchdog reads it."""

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from leader.llama.local_http import parse_answer


def test_an_answer_is_its_status_and_its_body() -> None:
    assert parse_answer(b"HTTP/1.0 503 Service Unavailable\r\na: b\r\n\r\n{}\r\n\r\n") == (503, b"{}\r\n\r\n")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.0 200 OK\r\n",
        b"HTTP/1.0\r\n\r\n",
        b"SSH-2.0 abc\r\n\r\n",
        b"a " + b"1" * 5000 + b"\r\n\r\n",
    ],
)
def test_what_is_no_answer_is_refused(answer: bytes) -> None:
    with pytest.raises(trio.BrokenResourceError):
        parse_answer(answer)


@given(st.binary(max_size=100))
def test_any_bytes_are_an_answer_or_refused_with_the_one_error(data: bytes) -> None:
    try:
        status, body = parse_answer(data)
    except trio.BrokenResourceError:
        return
    assert status < 1000
    assert data.endswith(body)
