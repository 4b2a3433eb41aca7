"""An answer is heard piece by piece, and the moment of the kill is in the middle of a sentence."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from mesh.tools.demo.asked_answer import amid_a_sentence, ask
from mesh.wire.errors import MeshError


def event(text: str | None) -> str:
    return "data: " + json.dumps({"choices": [{"delta": {"content": text}}]})


@contextmanager
def gateway(*lines: str, status: int = 200) -> Iterator[tuple[str, list[Any]]]:
    """A gateway that answers with these lines: where it is, and what it was asked."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            asked.append((self.path, self.headers["x-mesh-resume"], json.loads(body)))
            self.send_response(status)
            self.end_headers()
            self.wfile.write("".join(f"{line}\n\n" for line in lines).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1", asked
        finally:
            server.shutdown()
            thread.join()


async def heard(api: str) -> list[str]:
    return [piece.text async for piece in ask(api)]


async def test_the_pieces_are_heard_in_order_with_their_times() -> None:
    lines = (": waits", event(None), event("A good"), event(" team"), 'data: {"choices": []}', "data: [DONE]")
    with gateway(*lines) as (api, asked):
        pieces = [piece async for piece in ask(api)]
    assert [piece.text for piece in pieces] == ["A good", " team"]
    assert 0 < pieces[0].seconds <= pieces[1].seconds
    [(path, resume, body)] = asked
    assert (path, resume) == ("/v1/chat/completions", "exact")
    assert (body["temperature"], body["cache_prompt"], body["stream"]) == (0, False, True)


async def test_an_error_in_the_stream_is_told() -> None:
    with (
        gateway(event("A good"), 'data: {"error": {"message": "3 leaders were lost"}}') as (api, _),
        pytest.raises(MeshError, match="3 leaders were lost"),
    ):
        await heard(api)


async def test_an_error_in_place_of_a_stream_is_told() -> None:
    with (
        gateway("nothing is served", status=503) as (api, _),
        pytest.raises(MeshError, match="answers 503: nothing is served"),
    ):
        await heard(api)


async def test_a_gateway_that_is_gone_is_told() -> None:
    with gateway() as (api, _):
        pass
    with pytest.raises(MeshError, match="broke off"):
        await heard(api)


SENTENCE = "One two three four five six seven eight nine ten. "


@pytest.mark.parametrize(
    ("said", "whole", "now"),
    [
        (SENTENCE * 3 + "One two three four", SENTENCE * 20, False),  # 34 words
        (SENTENCE * 4, SENTENCE * 20, False),  # at a sentence's end
        (SENTENCE * 4 + "One two three", SENTENCE * 20, False),  # hardly begun
        (SENTENCE * 4 + "One two three four", SENTENCE * 20, True),
        (SENTENCE + "One two three four", SENTENCE * 3, False),  # of a short answer, half
        (SENTENCE + "One two three four five", SENTENCE * 3, True),
        ("Yes. " * 59, "Yes. " * 100, False),  # no sentence lasts
        ("Yes. " * 60, "Yes. " * 100, True),
    ],
)
def test_the_leader_is_killed_amid_a_sentence(said: str, whole: str, now: bool) -> None:
    assert amid_a_sentence(said, whole) is now
