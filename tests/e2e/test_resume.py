"""The leader dies in the middle of an answer, and the answer goes on."""

import json
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.pools import QUESTION, client, form_pool, holders, is_ready, leader, make_model, status_when
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = pytest.mark.usefixtures("engine")

SERVE = ("--ctx", "512", "--slots", "1", "--copies", "1", "--wait")
"""No copies: who leads next is the other host that was given the file."""
TOKENS = 160
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"


class Three:
    """A leader, the host that follows it, and one that is neither; the first two hold the model."""

    def __init__(self, leading: Host, next: Host, other: Host) -> None:
        self.leading, self.next, self.other = leading, next, other


async def serve_on_two(lab: Lab, folder: Path) -> Three:
    hosts = lab.hosts(3)
    form_pool(hosts)
    model = make_model(folder)
    hosts[0].mesh("serve", model, *SERVE, timeout=120)
    status = await status_when(hosts[0], is_ready)
    assert len(holders(status)) >= 2, "the model is split"
    leading = next(host for host in hosts if host.name == leader(status))
    second, other = (host for host in hosts if host is not leading)
    # The second host is given the file as well; what runs is not disturbed by that.
    second.mesh("serve", model, *SERVE, timeout=120)
    return Three(leading, second, other)


def request(path: str, stream: bool = True) -> dict[str, Any]:
    asked: dict[str, Any] = {"messages": QUESTION} if path == CHAT else {"prompt": "Once upon a time"}
    return {**asked, "max_tokens": TOKENS, "temperature": 0, "cache_prompt": False, "stream": stream}


async def answer(
    http: httpx.AsyncClient,
    path: str,
    how: str,
    at: int = -1,
    then: Callable[[], Awaitable[None]] | None = None,
) -> tuple[str, list[str]]:
    """The text of a streamed answer and the comments in it; `then` is done after so many chunks with text."""
    text, comments, chunks = "", [], 0
    headers = {"X-Mesh-Resume": how}
    async with http.stream("POST", path, json=request(path), headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        async for line in response.aiter_lines():
            if line.startswith(": "):
                comments.append(line)
            if not line.startswith("data: {"):
                continue
            event = json.loads(line[6:])
            assert "error" not in event, event
            for choice in event["choices"]:
                piece = choice.get("text") or choice.get("delta", {}).get("content") or ""
                text += piece
                chunks += bool(piece)
            if chunks == at and then is not None:
                at = -1
                await then()
    assert chunks == TOKENS
    return text, comments


async def test_an_answer_goes_on_token_by_token_when_the_leader_is_killed(lab: Lab, tmp_path: Path) -> None:
    pool = await serve_on_two(lab, tmp_path)

    async def kill() -> None:
        pool.leading.kill_sidecar()

    async with client(pool.other) as http:
        wanted, _ = await answer(http, CHAT, "exact")
        text, comments = await answer(http, CHAT, "exact", 60, kill)
    assert ": waiting for a leader" in comments
    assert text == wanted
    assert leader(await status_when(pool.other, is_ready)) == pool.next.name


async def test_an_answer_goes_on_when_the_leader_hangs(lab: Lab, tmp_path: Path) -> None:
    pool = await serve_on_two(lab, tmp_path)

    async def stop() -> None:
        pool.leading.kill_sidecar(signal.SIGSTOP)

    async with client(pool.other) as http:
        wanted, _ = await answer(http, TEXT, "exact")
        text, _ = await answer(http, TEXT, "exact", 60, stop)
    assert text == wanted


async def test_an_answer_at_the_host_that_follows_the_leader_goes_on_too(lab: Lab, tmp_path: Path) -> None:
    pool = await serve_on_two(lab, tmp_path)

    async def kill() -> None:
        pool.leading.kill_sidecar()

    async with client(pool.next) as http:
        wanted, _ = await answer(http, TEXT, "exact")
        text, _ = await answer(http, TEXT, "exact", 60, kill)
    assert text == wanted
    assert leader(await status_when(pool.next, is_ready)) == pool.next.name
