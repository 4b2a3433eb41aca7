"""Answers of the hub that never end, or that a few bytes unpack to gigabytes."""

import gzip
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from mesh.hub.downloader import bounded_answers
from mesh.hub.downloader.bounded_answers import ask_plainly, bounded
from mesh.hub.hub_lines import HubError
from tests.lab.hub import ScriptedHub
from tests.mesh.hub.hub_asker import HubAsker, model


def answer_of(body: bytes | Iterator[bytes], headers: dict[str, str], method: str = "GET") -> httpx2.Response:
    """The answer, as a client with both hooks gets it."""
    hooks: dict[str, list[Callable[..., Any]]] = {"request": [ask_plainly], "response": [bounded]}
    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, headers=headers, content=body))
    with httpx2.Client(transport=transport, event_hooks=hooks) as client:
        return client.request(method, "https://hub.example")


def test_an_answer_within_the_bounds_comes_as_it_is() -> None:
    answer = answer_of(b"[1]", {})
    assert answer.json() == [1]
    assert answer.request.headers["accept-encoding"] == "identity"


def test_an_answer_that_does_not_end_is_not_read_on(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []

    def endless() -> Iterator[bytes]:
        while len(given) < 1000:
            given.append(1)
            yield b" " * 1000

    monkeypatch.setattr(bounded_answers, "MOST_BYTES", 10_000)
    with pytest.raises(HubError, match="more than any hub does"):
        answer_of(endless(), {})
    assert len(given) == 11


def test_an_answer_that_only_drips_counts_as_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_answers, "MOST_SECONDS", 0.0)
    with pytest.raises(httpx2.ReadTimeout):
        answer_of(iter([b"a", b"b"]), {})


def test_a_packed_answer_is_refused_and_a_head_may_name_its_packing() -> None:
    packed = {"content-encoding": "gzip"}
    with pytest.raises(HubError, match="packs"):
        answer_of(gzip.compress(b"[1]"), packed)
    assert answer_of(b"", packed, "HEAD").status_code == 200


def test_the_library_reads_no_description_beyond_the_bound(hub: ScriptedHub, ask: HubAsker) -> None:
    hub.add("ann/tiny-GGUF", {"a.gguf": model(100)})
    hub.faults.padding = bounded_answers.MOST_BYTES
    error = ask.describe("ann/tiny-GGUF").failure
    assert (error["code"], error["message"]) == ("wrong", "the hub answers more than any hub does")
