"""Leaders that are lost in the middle of an answer, as the gateway and its clients meet them."""

import json
from typing import Any

import h11
import pytest
import trio

from mesh.gateway import resumable_completion, upstream
from mesh.gateway.backend import NothingServed, NotReady
from mesh.gateway.upstream import not_serving
from tests.mesh.gateway.conftest import RunningGateway, StartGateway
from tests.mesh.gateway.doubles import END, STATUS, Call, Client, chunk, sse

LIMIT = 5
TEXTS = ["one", " two", " three", " four"]
WAITING = b": waiting for a leader\n\n"


def native(number: int) -> str:
    """The event of the first, second, ... token."""
    counts = {"tokens_predicted": number, "tokens_evaluated": 3}
    return json.dumps({"content": TEXTS[number - 1], "tokens": [10 + number], "stop": False, **counts})


def final(made: int) -> str:
    settings = {"n_predict": -1, "max_tokens": -1, "stream": True}
    about = {"generation_settings": settings, "prompt": "Count: one two", "has_new_line": False}
    counts = {"tokens_predicted": made, "tokens_evaluated": 3}
    return json.dumps({"content": "", "tokens": [], "stop": True, "stop_type": "eos", **about, **counts})


def whole(value: Any) -> bytes:
    content = json.dumps(value).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(content), content)


class Leaders:
    """The first leader says two tokens and is lost; later ones go on from there, or begin anew."""

    def __init__(self, before_loss: int = 2) -> None:
        self.before_loss = before_loss
        self.streams: list[dict[str, Any]] = []
        self.lost = trio.Event()

    async def __call__(self, call: Call) -> None:
        while True:
            head, content = await call.request()
            asked = json.loads(content)
            if head.target == b"/tokenize":
                await call.send(whole({"tokens": [1, 2, 3]}))
            elif head.target == b"/detokenize":
                await call.send(whole({"content": TEXTS[asked["tokens"][0] - 11]}))
            elif not asked.get("stream"):
                await call.send(whole({"id_slot": 0}))
            else:
                await self.answer(call, asked)
                return
            call.http.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            call.http.send(h11.EndOfMessage())
            call.http.start_next_cycle()

    async def answer(self, call: Call, asked: dict[str, Any]) -> None:
        self.streams.append(asked)
        if len(self.streams) == 1:
            await call.send(sse(*map(native, range(1, self.before_loss + 1))))
            self.lost.set()
        else:
            begin = 0 if isinstance(asked["prompt"], str) else len(asked["prompt"]) - 3
            events = [json.loads(native(number)) for number in range(begin + 1, 5)]
            for number, event in enumerate(events, 1):
                event["tokens_predicted"] = number
            await call.send(sse(*map(json.dumps, events), final(4 - begin)) + END)


BODY = json.dumps({"prompt": "Count:", "stream": True}).encode()


def said(body: bytes) -> list[str]:
    return [json.loads(line[6:])["content"] for line in body.splitlines() if line.startswith(b"data: ")]


async def ask(gateway: RunningGateway, body: bytes = BODY, **headers: str) -> Client:
    client = await gateway.connect()
    await client.ask("POST", "/completion", body, **headers)
    return client


async def test_an_answer_goes_on_with_the_next_leader(start_gateway: StartGateway) -> None:
    leaders = Leaders()
    gateway = await start_gateway(leaders)
    with trio.fail_after(LIMIT):
        status, _, body = await (await ask(gateway)).answer()
    assert (status, said(body)) == (200, [*TEXTS, ""])
    assert leaders.streams[1]["prompt"] == [1, 2, 3, 11, 12]
    assert body.count(WAITING) >= 1
    _, _, metrics = await gateway.fetch("GET", "/metrics")
    assert b'mesh_gateway_resumed_total{how="continue"} 1.0' in metrics
    assert b"mesh_gateway_tokens_total 4.0" in metrics


async def test_a_client_that_wants_it_whole_notices_nothing(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(Leaders())
    with trio.fail_after(LIMIT):
        status, headers, body = await (await ask(gateway, b'{"prompt": "Count:"}')).answer()
    answer = json.loads(body)
    assert (status, answer["content"]) == (200, "one two three four")
    assert (answer["tokens_predicted"], answer["generation_settings"]["stream"]) == (4, False)
    assert headers["content-type"] == "application/json; charset=utf-8"


async def test_a_client_is_kept_alive_while_its_answer_waits(
    start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resumable_completion, "COMMENT_EVERY", 0.01)
    leaders = Leaders()
    gateway = await start_gateway(leaders)
    client = await ask(gateway)
    with trio.fail_after(LIMIT):
        await client.head()
        body = b""
        while b"two" not in body:
            body += await client.piece()
        gateway.node.error = NotReady("the model is loading", 1.0)
        waited = b""
        while waited.count(WAITING) < 5:
            waited += await client.piece()
        gateway.node.error = None
        rest = await client.rest()
    assert set(waited.split(b"\n\n")) <= {WAITING.strip(), b""}
    assert said(body + rest) == [*TEXTS, ""]


async def error_after(gateway: RunningGateway, error: NotReady, **headers: str) -> dict[str, Any]:
    """The error event of an answer that is lost while there is no leader for this reason."""
    client = await ask(gateway, BODY, **headers)
    with trio.fail_after(LIMIT):
        await client.head()
        body = b""
        while b"two" not in body:
            gateway.node.error = error
            body += await client.piece()
        body += await client.rest()
    value: dict[str, Any] = json.loads(body.rstrip().rpartition(b"data: ")[2])["error"]
    return value


async def test_patience_has_an_end(start_gateway: StartGateway) -> None:
    error = await error_after(await start_gateway(Leaders()), NotReady("nobody leads"), x_mesh_patience="0.2")
    assert error["code"] == "not_ready"
    assert "nobody leads" in error["message"]


async def test_nobody_waits_for_a_model_that_is_not_wanted_any_more(start_gateway: StartGateway) -> None:
    error = await error_after(await start_gateway(Leaders()), NothingServed())
    assert "no model is served" in error["message"]


async def test_an_answer_is_not_continued_by_another_model(start_gateway: StartGateway) -> None:
    leaders = Leaders()

    async def leader(call: Call) -> None:
        # The second is found, and left without a question.
        if not leaders.streams:
            await leaders(call)

    gateway = await start_gateway(leader)
    client = await ask(gateway)
    with trio.fail_after(LIMIT):
        await client.head()
        body = b""
        while b"two" not in body:
            gateway.node.state = {**STATUS, "deployment": {**STATUS["deployment"], "sha256": "other"}}
            body += await client.piece()
        body += await client.rest()
    assert b"another model is served now" in body


async def test_an_answer_that_has_not_begun_is_begun_anew_by_another_model(
    start_gateway: StartGateway,
) -> None:
    leaders = Leaders(before_loss=0)
    gateway = await start_gateway(leaders)
    client = await ask(gateway)
    with trio.fail_after(LIMIT):
        await leaders.lost.wait()
        gateway.node.state = {**STATUS, "deployment": {**STATUS["deployment"], "sha256": "other"}}
        assert said((await client.answer())[2]) == [*TEXTS, ""]
    assert leaders.streams[1]["prompt"] == "Count:"


async def test_a_leader_that_hangs_is_left_when_another_leads(
    start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "SILENCE", 0.01)
    leaders = Leaders()
    hanging = trio.Event()

    async def hang(call: Call) -> None:
        await leaders(call)
        if len(leaders.streams) == 1:
            hanging.set()
            await call.hung_up()

    gateway = await start_gateway(hang)
    client = await ask(gateway)
    with trio.fail_after(LIMIT):
        await hanging.wait()
        gateway.node.state = {**STATUS, "leader": {"id": "c", "name": "cara", "term": 4}}
        await gateway.node.tell.send(gateway.node.state)
        _, _, body = await client.answer()
    assert said(body) == [*TEXTS, ""]


async def test_an_answer_that_flows_is_not_given_up_while_another_leads_for_a_moment(
    start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "SILENCE", 3600)
    leaders = Leaders()
    begun, followed = trio.Event(), trio.Event()

    async def goes_on(call: Call) -> None:
        await leaders(call)
        begun.set()
        await followed.wait()
        rest = "".join(f"data: {event}\n\n" for event in (native(3), native(4), final(4)))
        await call.send(chunk(rest.encode()) + END)

    gateway = await start_gateway(goes_on)
    client = await ask(gateway)
    with trio.fail_after(LIMIT):
        await begun.wait()
        gateway.node.state = {**STATUS, "leader": {"id": "c", "name": "cara", "term": 4}}
        await gateway.node.tell.send(gateway.node.state)
        await trio.testing.wait_all_tasks_blocked()
        followed.set()
        _, _, body = await client.answer()
    assert said(body) == [*TEXTS, ""]
    assert WAITING not in body
    assert len(leaders.streams) == 1


async def test_a_request_that_kills_leaders_is_given_up(
    start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resumable_completion, "SAME_DEATH", 0.0)
    calls = 0

    async def die(call: Call) -> None:
        nonlocal calls
        calls += 1
        await call.request()

    gateway = await start_gateway(die)
    with trio.fail_after(LIMIT):
        status, _, body = await (await ask(gateway)).answer()
    assert (status, calls) == (502, resumable_completion.MAX_ATTEMPTS_WITHOUT_PROGRESS)
    assert "leaders were lost over this request" in json.loads(body)["error"]["message"]


@pytest.mark.parametrize("body", [BODY, b'{"prompt": "Count:"}'])
async def test_a_hang_up_ends_an_answer_that_waits(start_gateway: StartGateway, body: bytes) -> None:
    leaders = Leaders()
    gateway = await start_gateway(leaders)
    looked_for, left = trio.Event(), trio.Event()

    async def search() -> trio.abc.Stream:
        if not leaders.lost.is_set():
            return await type(gateway.node).open_leader(gateway.node)
        looked_for.set()
        try:
            await trio.sleep_forever()
        finally:
            left.set()

    gateway.node.open_leader = search  # type: ignore[method-assign]
    client = await ask(gateway, body)
    with trio.fail_after(LIMIT):
        await looked_for.wait()
    await client.stream.aclose()
    with trio.fail_after(LIMIT):
        await left.wait()


async def test_a_leader_that_makes_no_sense_of_the_continuation_ends_the_answer(
    start_gateway: StartGateway,
) -> None:
    async def leader(call: Call) -> None:
        _, content = await call.request()
        if "stream" in json.loads(content):
            await call.send(sse(native(1)))
        else:
            await call.send(b"HTTP/1.1 400 Bad\r\ncontent-length: 9\r\n\r\nuntoward!")

    gateway = await start_gateway(leader)
    with trio.fail_after(LIMIT):
        _, _, body = await (await ask(gateway)).answer()
    assert b"llama-server answered 400: untoward!" in body


async def test_a_wish_to_be_left_alone_is_granted(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(Leaders())
    with trio.fail_after(LIMIT):
        _, _, body = await (await ask(gateway, x_mesh_resume="off")).answer()
    assert b'"code":"upstream_lost"' in body


async def test_events_may_come_in_any_pieces(start_gateway: StartGateway) -> None:
    async def leader(call: Call) -> None:
        await call.request()
        await call.send(sse())
        raw = "".join(f"data: {event}\n\n" for event in (native(1), native(2), final(2))).encode()
        for place in range(0, len(raw), 7):
            await call.send(chunk(raw[place : place + 7]))

    gateway = await start_gateway(leader)
    with trio.fail_after(LIMIT):
        assert said((await (await ask(gateway)).answer())[2]) == ["one", " two", ""]


async def test_a_leader_without_llama_server_is_asked_again_and_not_given_up(
    start_gateway: StartGateway,
) -> None:
    leaders, refusals = Leaders(), 0

    async def refuse_at_first(call: Call) -> None:
        nonlocal refusals
        if leaders.streams and refusals <= resumable_completion.MAX_ATTEMPTS_WITHOUT_PROGRESS:
            refusals += 1
            await call.request()
            await call.send(not_serving())
            await call.hang_up()
        else:
            await leaders(call)

    gateway = await start_gateway(refuse_at_first)
    with trio.fail_after(LIMIT):
        _, _, body = await (await ask(gateway)).answer()
    assert refusals > resumable_completion.MAX_ATTEMPTS_WITHOUT_PROGRESS
    assert said(body) == [*TEXTS, ""]


async def test_a_llama_server_that_dies_slowly_is_lost_once(start_gateway: StartGateway) -> None:
    leaders, dying = Leaders(), 0

    async def die_slowly(call: Call) -> None:
        nonlocal dying
        if leaders.streams and dying <= resumable_completion.MAX_ATTEMPTS_WITHOUT_PROGRESS:
            dying += 1
            await call.request()
        else:
            await leaders(call)

    gateway = await start_gateway(die_slowly)
    with trio.fail_after(LIMIT):
        _, _, body = await (await ask(gateway)).answer()
    assert dying > resumable_completion.MAX_ATTEMPTS_WITHOUT_PROGRESS
    assert said(body) == [*TEXTS, ""]
    _, _, metrics = await gateway.fetch("GET", "/metrics")
    assert b'mesh_gateway_resumed_total{how="continue"} 1.0' in metrics


async def test_a_leader_that_never_has_a_llama_server_is_waited_for_as_long_as_was_said(
    start_gateway: StartGateway,
) -> None:
    async def refuse(call: Call) -> None:
        await call.request()
        await call.send(not_serving())

    gateway = await start_gateway(refuse)
    with trio.fail_after(LIMIT):
        status, _, body = await (await ask(gateway, x_mesh_patience="0.3")).answer()
    assert status == 502
    assert "the leader's llama-server is not ready" in json.loads(body)["error"]["message"]
