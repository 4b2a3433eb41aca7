"""A member that may ask, and means ill: nobody is harmed, and it is known who it was."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from tests.e2e.pools import (
    alive,
    chat,
    client,
    found,
    is_ready,
    join,
    make_model,
    status_when,
)
from tests.e2e.test_hostile import attack
from tests.lab.host import Host
from tests.lab.hostile_requests import (
    Request,
    ambiguous,
    ending_the_engine,
    lasting,
    resuming,
    touching_others,
)
from tests.lab.lab import Lab

pytestmark = pytest.mark.usefixtures("engine")

SERVE = ("--ctx", "512", "--slots", "2", "--wait")
OTHERS_SECONDS = 30.0
"""Within which another member's small request is answered, whatever the hostile one does."""


class Pool:
    """anna leads and serves with bert; cara asks by her gateway with the right to ask alone beside work."""

    def __init__(self, lab: Lab, model: Path) -> None:
        self.anna, self.bert, self.cara = lab.hosts(3)
        self.eve = lab.host("eve")
        self._model = model
        self.greedy = ""
        self.engine = 0

    async def form(self) -> None:
        token = found(self.anna)
        join(self.bert, token)
        join(self.cara, self.invite(), "--no-work", "--no-lead")
        await self.anna.amesh("serve", self._model, *SERVE, timeout=120)
        for host in (self.anna, self.bert, self.cara):
            await status_when(host, lambda status: len(alive(status)) == 3 and is_ready(status))
        self.greedy = await chat(self.bert)
        self.engine = self.engine_now()

    def invite(self) -> str:
        token: str = self.anna.mesh_json("invite", "--rights", "work,ask")["token"]
        return token

    def engine_now(self) -> int:
        found = self.anna.engine("llama-server")
        assert found is not None, "llama-server runs no more"
        return found.pid

    async def is_unharmed(self) -> None:
        """The same llama-server gives the same answer."""
        assert self.engine_now() == self.engine
        assert await chat(self.bert) == self.greedy

    async def raw(self, requests: Sequence[Request], folder: Path) -> list[dict[str, Any]]:
        """What comes of requests on raw streams to the leader, while others are served."""
        file = folder / "requests.json"
        file.write_text(json.dumps(requests))
        outcome: list[dict[str, Any]] = []

        async def ask() -> None:
            told = await attack(self.eve, "ask_raw", self.anna, token=self.invite(), requests=str(file))
            outcome.extend(told["results"])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            while not outcome:
                with trio.fail_after(OTHERS_SECONDS):
                    assert await chat(self.bert, tokens=2)
                await trio.sleep(0.2)
        return outcome


@pytest.fixture
async def pool(lab: Lab, tmp_path: Path) -> Pool:
    made = Pool(lab, make_model(tmp_path))
    await made.form()
    return made


def wrongly_answered(
    requests: Sequence[Request], results: Sequence[Mapping[str, Any]]
) -> list[tuple[Request, Mapping[str, Any]]]:
    """Requests that were not refused though they had to be, or that got no answer or a fault of ours."""
    wrong = []
    for request, result in zip(requests, results, strict=True):
        status = result["status"]
        if "leave_after" in request:
            continue
        if status is None or (status >= 500 and status != 501) or (request.get("refused") and status < 400):
            wrong.append(({key: str(value)[:200] for key, value in request.items()}, result))
    return wrong


async def test_no_request_on_a_raw_stream_ends_the_engine_or_holds_up_others(
    pool: Pool, tmp_path: Path
) -> None:
    requests = [*ending_the_engine(), *touching_others(), *resuming()]
    results = await pool.raw(requests, tmp_path)
    assert not (wrong := wrongly_answered(requests, results)), wrong
    await pool.is_unharmed()


async def test_no_request_by_a_gateway_ends_the_engine(pool: Pool) -> None:
    requests = [one for one in (*ending_the_engine(), *touching_others()) if one["path"] != "/metrics"]
    async with client(pool.cara) as http:
        results = [await by_gateway(http, request) for request in requests]
    assert not (wrong := wrongly_answered(requests, results)), wrong
    await pool.is_unharmed()


async def by_gateway(http: httpx.AsyncClient, request: Request) -> dict[str, Any]:
    content = (request["text"] if "text" in request else json.dumps(request.get("body", {}))).encode()
    target = httpx.URL(str(http.base_url)).copy_with(raw_path=request["path"].encode())
    headers = [("Content-Type", "application/json"), *map(tuple, request.get("headers", []))]
    answer = await http.request(request["method"], target, content=content, headers=headers)
    return {"status": answer.status_code, "text": answer.text[:300]}


async def test_answers_without_end_stop_when_their_client_hangs_up(pool: Pool, tmp_path: Path) -> None:
    await pool.raw(list(lasting()), tmp_path)
    with trio.fail_after(OTHERS_SECONDS):
        await pool.is_unharmed()


async def test_what_two_readers_may_read_differently_is_refused(pool: Pool, tmp_path: Path) -> None:
    requests = list(ambiguous())
    results = await pool.raw(requests, tmp_path)
    assert {result["status"] for result in results} <= {400, 501}
    await pool.is_unharmed()


async def test_silent_streams_end_and_count_as_no_answers(pool: Pool) -> None:
    outcome: list[dict[str, Any]] = []

    async def be_silent() -> None:
        outcome.append(
            await attack(pool.eve, "keep_silent", pool.anna, token=pool.invite(), count=100, seconds=20)
        )

    async with trio.open_nursery() as nursery:
        nursery.start_soon(be_silent)
        await trio.sleep(2)
        with trio.fail_after(OTHERS_SECONDS):
            await pool.anna.amesh("move", "--now", timeout=60)
            assert await chat(pool.bert) == pool.greedy
    assert max(outcome[0]["kept"]) < 15


async def test_what_one_member_asked_is_told_to_no_other(pool: Pool) -> None:
    """anna's and bert's machines are owners', one domain; cara's is another."""
    own = await ask_secret(pool.anna, "tulip")
    assert own == 0
    assert await ask_secret(pool.bert, "tulip") > 100, "one's own is remembered"
    assert await ask_secret(pool.cara, "tulip") == 0
    assert await ask_secret(pool.cara, "tulip") > 100
    async with client(pool.cara) as http:
        told = (await http.get("/slots")).text + (await http.get("/props")).text
    assert "tulip" not in told
    assert str(pool.anna.folder) not in told


async def test_several_choices_leave_nothing_to_others(pool: Pool) -> None:
    for choices, one, another in ((2, "orchid", "lily"), (5, "poppy", "daisy")):
        await ask_secret(pool.cara, one, n=choices)
        assert await ask_secret(pool.bert, one) == 0
        await ask_secret(pool.bert, another, n=choices)
        assert await ask_secret(pool.cara, another) == 0


async def ask_secret(host: Host, word: str, **more: Any) -> int:
    """How many tokens of a secret prompt were in the slot already."""
    content = f"My password is {word}. " * 20
    body = {"messages": [{"role": "user", "content": content}], "max_tokens": 2, **more}
    async with client(host) as http:
        answer = (await http.post("/v1/chat/completions", json=body)).json()
    assert len(answer["choices"]) == more.get("n", 1)
    cached: int = answer["usage"]["prompt_tokens_details"]["cached_tokens"]
    return cached


async def test_who_it_was_is_known_though_it_tells_nobody_of_itself(pool: Pool, tmp_path: Path) -> None:
    await pool.raw([*touching_others()][:20], tmp_path)
    members = pool.anna.mesh_json("members")["members"]
    (mallory,) = [member for member in members if member["state"] == "unseen"]
    assert mallory["asked"]["refused"] == 20
    assert mallory["asked"]["requests"] == 20
    pool.anna.mesh("evict", "--yes", mallory["id"])
