"""Heads that two readers may read differently."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.gateway.entry.heads import faulty_head

SINGLE = (
    *("Host", "Origin", "Authorization", "X-Api-Key", "Api-Key", "Content-Length", "Content-Type"),
    *(
        "Sec-Fetch-Site",
        "Sec-Fetch-Mode",
        "Sec-Fetch-New",
        "Transfer-Encoding",
        "X-Mesh-Resume",
        "X-Mesh-Any",
    ),
)


def head(*lines: str, end: str = "\r\n", version: str = "1.1") -> bytes:
    return end.join((f"POST / HTTP/{version}", "Host: localhost", *lines, "", "")).encode("latin-1")


def why(raw: bytes, version: bytes = b"1.1") -> str:
    """The message, or nothing when the head is taken."""
    fault = faulty_head(raw, version)
    return "" if fault is None else fault.message


@pytest.mark.parametrize("name", SINGLE)
def test_what_decides_stands_once_however_it_is_written(name: str) -> None:
    assert "more than one header " + name.lower() in why(head(f"{name}: 1", "x: y", f"{name.upper()}:1"))


@pytest.mark.parametrize("name", ["Accept", "Via", "X-Forwarded-For", "Cache-Control", "X-Mine"])
def test_lists_may_be_spread_over_several_headers(name: str) -> None:
    assert why(head(f"{name}: 1", f"{name}: 2")) == ""


def test_a_body_has_one_end() -> None:
    assert "either" in why(head("content-length: 3", "transfer-encoding: chunked"))
    assert "either" in why(head("Transfer-Encoding: chunked", "Content-Length: 3"))
    assert "no number" in why(head("content-length: 3, 3"))
    assert "no number" in why(head("content-length: +3"))
    assert "no number" in why(head("content-length:"))
    assert "HTTP/1.0" in why(head("transfer-encoding: chunked", version="1.0"), b"1.0")
    assert why(head("content-length: 3")) == why(head("transfer-encoding: chunked")) == ""


def test_a_head_has_one_end_and_each_header_a_line() -> None:
    assert "CR LF" in why(head("x: y", end="\n"))
    assert "CR LF" in why(head("x: y\nhost: evil"))
    assert "next line" in why(head("x: y", " host: evil"))
    assert "next line" in why(head("x: y", "\tz"))


@pytest.mark.parametrize("version", [b"0.9", b"1.2", b"2.0"])
def test_other_versions_of_http_are_not_spoken(version: bytes) -> None:
    fault = faulty_head(head(version=version.decode()), version)
    assert fault is not None
    assert fault.status == 505


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["Host", "CONTENT-length", "transfer-ENCODING", "x-mesh-a", "Origin", "accept"]),
            st.sampled_from(["", "1", "1, 1", "chunked", "identity, chunked", " 1 ", "a\r\n b"]),
        ),
        max_size=4,
    )
)
def test_what_is_taken_says_each_thing_once_also_to_another_reader(fields: list[tuple[str, str]]) -> None:
    raw = head(*(f"{name}: {value}" for name, value in fields))
    reader = h11.Connection(h11.SERVER)
    reader.receive_data(raw)
    try:
        event = reader.next_event()
    except h11.RemoteProtocolError:
        return
    assert isinstance(event, h11.Request)
    if faulty_head(raw, event.http_version) is None:
        names = [name for name, _ in event.headers]
        assert names == [b"host", *(name.lower().encode() for name, _ in fields)]
        assert len(set(names) - {b"accept"}) == len([name for name in names if name != b"accept"])
        assert not {b"content-length", b"transfer-encoding"} <= set(names)
