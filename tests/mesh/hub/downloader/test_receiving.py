"""One range of a file from the hub made for tests."""

import io

import pytest

from mesh.hub.downloader.receiving import BodyHead, Span, http_client, receive
from mesh.hub.downloader.refusals import Broken, HttpRefusal, NeverBegun
from mesh.hub.hub_lines import HubError
from tests.lab.hub import ScriptedHub
from tests.mesh.hub.hub_asker import model

TINY = model(100_000)


class Reception:
    """An open file with something in it, and what is received into it."""

    def __init__(self, hub: ScriptedHub, there: bytes = b"") -> None:
        hub.put("tiny.gguf", TINY)
        self.url = hub.file_url("tiny.gguf", secure=False)
        self.out = io.BytesIO(there)
        self.places: list[int] = []
        self.heads: list[BodyHead] = []

    def receive(self, span: Span, url: str = "") -> bytes:
        with http_client() as client:
            receive(client, url or self.url, {}, span, self.out, self.heads.append, self.places.append)
        return self.out.getvalue()


def test_a_span_lands_where_it_belongs(hub: ScriptedHub) -> None:
    reception = Reception(hub, TINY[:500] + b"to be replaced")
    assert reception.receive(Span(500, 2000)) == TINY[:2000]
    assert (reception.places[0], reception.places[-1]) == (500, 2000)
    [head] = reception.heads
    assert (head.size, head.start, head.is_page, bool(head.validator)) == (100_000, 500, False, True)


def test_a_server_without_ranges_sends_all_and_no_more_is_taken_than_wanted(hub: ScriptedHub) -> None:
    hub.faults.no_ranges = True
    reception = Reception(hub, b"wrong" * 100)
    assert reception.receive(Span(500, 2000)) == TINY[:2000]
    assert reception.places[0] == 0


def test_a_span_beyond_the_end_is_the_whole_file_or_none_of_it(hub: ScriptedHub) -> None:
    assert Reception(hub, TINY).receive(Span(100_000)) == TINY
    other = Reception(hub, TINY + b"more")
    with pytest.raises(Broken, match="no part of the file"):
        other.receive(Span(100_004))
    assert other.out.getvalue() == b""


def test_a_cut_keeps_what_came(hub: ScriptedHub) -> None:
    hub.faults.cut_after = 30_000
    reception = Reception(hub)
    with pytest.raises(Broken, match="the connection broke off"):
        reception.receive(Span())
    assert reception.out.getvalue() == TINY[:30_000]


def test_what_is_refused_and_what_is_not_reached_are_told_apart(hub: ScriptedHub) -> None:
    with pytest.raises(HttpRefusal, match="answers 404"):
        Reception(hub).receive(Span(), hub.file_url("other", secure=False))
    with pytest.raises(NeverBegun):
        Reception(hub).receive(Span(), "http://127.0.0.1:9/a")
    hub.faults.loop = True
    with pytest.raises(HubError, match="redirects in a circle"):
        Reception(hub).receive(Span())


def test_no_more_is_taken_than_the_server_told(hub: ScriptedHub) -> None:
    reception = Reception(hub, TINY[:500])
    hub.faults.untold, hub.faults.told = True, "bytes 500-599/600"
    assert reception.receive(Span(500)) == TINY[:600]
    hub.faults.told = "bytes 600-699/300"
    assert reception.receive(Span(600)) == TINY[:600]
