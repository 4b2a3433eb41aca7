"""What is served moves to a better placement, or gives way to another model: a pause is all one notices."""

import json
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.e2e.pools import (
    PATIENCE,
    alive,
    client,
    found,
    greedy,
    holders,
    is_ready,
    join,
    leader,
    make_model,
    status_when,
)
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = pytest.mark.usefixtures("engine")

SERVE = ("--ctx", "2048", "--slots", "1", "--wait")
STORY = "A story of machines that gave each other what they had. " * 8


async def ask(host: Host, prompt: str, tokens: int) -> dict[str, Any]:
    async with client(host) as http:
        response = await http.post("/completion", json=greedy(prompt, tokens) | {"cache_prompt": True})
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer


class Stream:
    """An answer that comes in pieces; ``begun`` with its first token."""

    def __init__(self, host: Host, prompt: str, tokens: int) -> None:
        self.ids: list[int] = []
        self.begun = trio.Event()
        self._host = host
        self._request = greedy(prompt, tokens) | {"cache_prompt": True, "stream": True}

    async def run(self) -> None:
        async with (
            client(self._host) as http,
            http.stream("POST", "/completion", json=self._request) as answer,
        ):
            assert answer.status_code == 200, await answer.aread()
            async for line in answer.aiter_lines():
                if line.startswith("data: {"):
                    self.ids += json.loads(line[6:]).get("tokens", [])
                    self.begun.set()


async def move(host: Host) -> None:
    """`mesh move` until it does: the new machine's engine starts, and its round trip is not known at once."""
    with trio.fail_after(PATIENCE):
        while True:
            if "times as fast" in (await host.amesh("move", timeout=60)).stdout:
                return
            await trio.sleep(0.3)


async def test_a_model_moves_to_a_machine_that_came_and_conversations_come_along(
    lab: Lab, tmp_path: Path
) -> None:
    anna, bert, cara, dora = lab.hosts(4)
    token = found(anna)
    join(bert, token)
    join(cara, token)
    anna.mesh("serve", make_model(tmp_path), *SERVE, timeout=120)
    before = await status_when(anna, is_ready)
    assert len(holders(before)) == 3, "it takes them all"
    # An owner: a newcomer that is none gets half of the layers until it has served.
    token = anna.mesh_json("invite", "--rights", "work,ask,lead,own")["token"]
    dora.mesh("join", token, "--name", "dora", "--memory", "400M", "--tailscaled-socket", "off")
    first = await ask(bert, STORY, 8)
    assert first["timings"]["prompt_n"] > 50
    await move(cara)
    status = await status_when(bert, lambda s: is_ready(s) and "dora" in holders(s))
    assert leader(status) == leader(before)
    assert len(holders(status)) < 3
    again = await ask(bert, STORY, 8)
    assert again["tokens"] == first["tokens"]
    assert again["timings"]["prompt_n"] < 20, "the conversation was there already"


async def test_another_model_takes_over_once_running_answers_are_given(lab: Lab, tmp_path: Path) -> None:
    anna, bert = lab.hosts(2)
    token = found(anna, "--memory", "400M")
    join(bert, token)
    old, new = (make_model(tmp_path, name, 30_000_000) for name in ("old.gguf", "new.gguf"))
    anna.mesh("serve", old, *SERVE, timeout=120)
    await status_when(bert, is_ready)
    running = Stream(bert, "Once", 600)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(running.run)
        await running.begun.wait()
        await anna.amesh("serve", new, "--ctx", "1024")
        waited = await ask(bert, "Twice", 4)
        assert len(running.ids) == 600, "the running answer came first"
    assert len(waited["tokens"]) == 4, "and the one that came meanwhile had waited"
    status = await status_when(bert, is_ready)
    assert status["deployment"]["model"] == "new.gguf"
    async with client(bert) as http:
        models = (await http.get("/v1/models")).json()
    assert [model["id"] for model in models["data"]] == ["new.gguf"]
    assert alive(status) == {anna.name, bert.name}
