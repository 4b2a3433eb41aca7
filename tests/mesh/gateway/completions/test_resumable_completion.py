"""Leaders that are lost in the middle of an answer, as the gateway and its clients meet them."""

import json
from typing import Any

import pytest
import trio

from mesh.gateway import upstream
from mesh.gateway.backend import NothingServed, NotReady
from mesh.gateway.completions import resumable_completion
from mesh.gateway.replies import as_http, unavailable
from mesh.gateway.resuming.resume_request import RESUME_PATH, ResumeRequest, decode_resume_request
from mesh.gateway.resuming.settled_tokens import SettledTokens
from mesh.gateway.resuming.taken_up import TakenUp, taken_up_event
from mesh.gateway.upstream import NOT_SERVING
from mesh.net.stream_kinds import StreamKind
from tests.mesh.gateway.conftest import RunningGateway, StartGateway
from tests.mesh.gateway.doubles import END, SSE_HEAD, STATUS, Call, Client, chunk, sse

LIMIT = 5
TEXTS = ["one", " two", " three", " four"]
WAITING = b": waiting for a leader\n\n"
_SAID = unavailable("not_ready", "the leader's llama-server is not ready", 2.0)
NOT_READY = as_http(_SAID._replace(headers=[*_SAID.headers, (NOT_SERVING, b"1")]))


def native(number: int) -> str:
    """The event of the first, second, ... token."""
    counts = {"tokens_predicted": number, "tokens_evaluated": 3}
    return json.dumps({"content": TEXTS[number - 1], "tokens": [10 + number], "stop": False, **counts})


def final(made: int) -> str:
    settings = {"n_predict": -1, "max_tokens": -1, "stream": True}
    about = {"generation_settings": settings, "prompt": "Count: one two", "has_new_line": False}
    counts = {"tokens_predicted": made, "tokens_evaluated": 3}
    return json.dumps({"content": "", "tokens": [], "stop": True, "stop_type": "eos", **about, **counts})


class Leaders:
    """The first leader says two tokens and is lost; later ones go on from there, or begin anew."""

    def __init__(self, before_loss: int = 2) -> None:
        self.before_loss = before_loss
        self.streams: list[dict[str, Any]] = []
        self.resumed: list[ResumeRequest] = []
        self.lost = trio.Event()

    async def __call__(self, call: Call) -> None:
        head, content = await call.request()
        if head.target == RESUME_PATH.encode():
            await self.take_up(call, decode_resume_request(content))
            return
        self.streams.append(json.loads(content))
        if len(self.streams) == 1:
            await call.send(sse(*map(native, range(1, self.before_loss + 1))))
            self.lost.set()
        else:
            await call.send(sse(*map(native, range(1, 5)), final(4)) + END)

    async def take_up(self, call: Call, asked: ResumeRequest) -> None:
        assert asked.tokens is not None
        self.resumed.append(asked)
        begin = len(asked.tokens.ids)
        events = [json.loads(native(number)) for number in range(begin + 1, 5)]
        for number, event in enumerate(events, 1):
            event["tokens_predicted"] = number
        await call.send(taken_up(TakenUp(False, 3, "")))
        rest = "".join(f"data: {event}\n\n" for event in (*map(json.dumps, events), final(4 - begin)))
        await call.send(chunk(rest.encode()) + END)


def taken_up(how: TakenUp) -> bytes:
    """How a leader's answer begins that has taken up what it was asked to, after a while."""
    return SSE_HEAD + chunk(b": taking up the answer\n\n") + chunk(taken_up_event(how))


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
    [asked] = leaders.resumed
    assert (asked.path, asked.body) == ("/completion", json.loads(BODY))
    assert asked.tokens == SettledTokens((11, 12), (), (1, " two"))
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

    async def search(kind: StreamKind = StreamKind.API) -> trio.abc.Stream:
        if not leaders.lost.is_set():
            return await type(gateway.node).open_leader(gateway.node, kind)
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


def refusal(status: int, code: str, *headers: str) -> bytes:
    """A leader's answer that something cannot be done."""
    content = json.dumps({"error": {"code": code, "message": "untoward!"}}).encode()
    lines = [f"HTTP/1.1 {status} No", f"content-length: {len(content)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


class Refusing(Leaders):
    """The leaders that are asked to take the answer up give these answers, one after the other."""

    def __init__(self, *answers: bytes) -> None:
        super().__init__()
        self.answers = list(answers)
        self.asked = 0

    async def take_up(self, call: Call, asked: ResumeRequest) -> None:
        self.asked += 1
        if self.answers:
            await call.send(self.answers.pop(0))
        else:
            await super().take_up(call, asked)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (refusal(409, "cannot_continue"), "upstream_lost"),
        (refusal(400, "refused"), "upstream_lost"),
        (refusal(403, "no_right"), "upstream_lost"),
        (refusal(422, "engine_died"), "engine_died"),
        (sse(json.dumps({"error": {"code": "engine_died", "message": "untoward!"}})), "engine_died"),
    ],
)
async def test_a_leader_that_will_not_take_it_up_ends_the_answer_at_once(
    start_gateway: StartGateway, answer: bytes, code: str
) -> None:
    leaders = Refusing(answer)
    gateway = await start_gateway(leaders)
    with trio.fail_after(LIMIT):
        _, _, body = await (await ask(gateway)).answer()
    assert leaders.asked == 1
    error = json.loads(body.rstrip().rpartition(b"data: ")[2])["error"]
    assert error["code"] == code
    assert "untoward!" in error["message"]


async def test_a_whole_answer_that_killed_engines_twice_is_refused_with_that_status(
    start_gateway: StartGateway,
) -> None:
    gateway = await start_gateway(Refusing(refusal(422, "engine_died")))
    with trio.fail_after(LIMIT):
        status, _, body = await (await ask(gateway, b'{"prompt": "Count:"}')).answer()
    assert (status, json.loads(body)["error"]["code"]) == (422, "engine_died")


async def test_a_request_that_killed_engines_twice_before_its_first_token_is_not_repeated(
    start_gateway: StartGateway,
) -> None:
    answers = [refusal(503, "engine_died", "x-mesh-engine-died: 1"), refusal(422, "engine_died")]

    async def leader(call: Call) -> None:
        await call.request()
        await call.send(answers.pop(0))

    gateway = await start_gateway(leader)
    with trio.fail_after(LIMIT):
        status, _, body = await (await ask(gateway)).answer()
    assert (status, json.loads(body)["error"]["code"], answers) == (422, "engine_died", [])


async def test_an_answer_during_which_an_engine_died_once_is_taken_up(start_gateway: StartGateway) -> None:
    leaders = Refusing(refusal(503, "engine_died", "x-mesh-engine-died: 1"))
    gateway = await start_gateway(leaders)
    with trio.fail_after(LIMIT):
        assert said((await (await ask(gateway)).answer())[2]) == [*TEXTS, ""]
    assert leaders.asked == 2


@pytest.mark.parametrize("status", [429, 503])
async def test_a_leader_that_has_no_time_is_asked_again_when_it_says(
    start_gateway: StartGateway, status: int
) -> None:
    leaders = Refusing(*[refusal(status, "busy", "retry-after: 0")] * 4)
    gateway = await start_gateway(leaders)
    with trio.fail_after(LIMIT):
        assert said((await (await ask(gateway)).answer())[2]) == [*TEXTS, ""]
    assert leaders.asked == 5


async def test_a_leader_that_has_no_time_is_not_asked_for_longer_than_the_client_waits(
    start_gateway: StartGateway,
) -> None:
    leaders = Refusing(*[refusal(429, "busy", "retry-after: 60")] * 4)
    gateway = await start_gateway(leaders)
    with trio.fail_after(LIMIT):
        _, _, body = await (await ask(gateway, x_mesh_patience="3")).answer()
    assert leaders.asked == 1
    assert b"the leader takes no request: untoward!" in body


async def test_a_leader_that_is_lost_while_it_takes_the_answer_up_is_one_more(
    start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resumable_completion, "SAME_DEATH", 0.0)
    leaders = Refusing(sse(), SSE_HEAD + chunk(b": taking up the answer\n\n"))
    gateway = await start_gateway(leaders)
    with trio.fail_after(LIMIT):
        assert said((await (await ask(gateway)).answer())[2]) == [*TEXTS, ""]
    assert [asked.tokens for asked in leaders.resumed] == [SettledTokens((11, 12), (), (1, " two"))]


async def test_text_that_was_held_back_is_asked_for_where_answers_are_taken_up(
    start_gateway: StartGateway,
) -> None:
    leaders = Leaders()

    async def leader(call: Call) -> None:
        head, content = await call.request()
        if head.target == RESUME_PATH.encode():
            await leaders.take_up(call, decode_resume_request(content))
            return
        held_back = {
            "content": "",
            "tokens": [13],
            "stop": False,
            "tokens_predicted": 3,
            "tokens_evaluated": 3,
        }
        end = {**json.loads(final(3)), "stop_type": "limit"}
        await call.send(sse(native(1), native(2), json.dumps(held_back), json.dumps(end)) + END)

    gateway = await start_gateway(leader)
    asked = json.dumps({"prompt": "Count:", "max_tokens": 3, "stop": [" threefold"]}).encode()
    with trio.fail_after(LIMIT):
        _, _, body = await (await ask(gateway, asked)).answer()
    assert json.loads(body)["content"] == "one two three four"
    [request] = leaders.resumed
    assert request.body == {"prompt": "Count:", "n_predict": 3}


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
            await call.send(NOT_READY)
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
        await call.send(NOT_READY)

    gateway = await start_gateway(refuse)
    with trio.fail_after(LIMIT):
        status, _, body = await (await ask(gateway, x_mesh_patience="0.3")).answer()
    assert status == 502
    assert "the leader's llama-server is not ready" in json.loads(body)["error"]["message"]
