import json
import pickle
import sys
from random import Random
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from leader.door.bodies.json_bodies import MOST_BYTES
from leader.door.orders import (
    AnswerForm,
    EngineFacts,
    ErrorShape,
    Order,
    OwnAnswer,
    Refused,
    SlotUse,
    Verdict,
)
from leader.door.routes import ROUTES
from leader.door.verdict import bodies_fields, judge
from tests.fuzz.requests import random_request
from tests.leader.door import agents

ENGINE = EngineFacts("model", 131072, 4, sees=True)
EMBEDS = EngineFacts("bert", 512, 1, embeds=True)
RANKS = EngineFacts("judge", 512, 1, ranks=True)
HELLO = [{"role": "user", "content": "Hello"}]


def post(path: str, body: Any) -> Verdict:
    return judge("POST", path.encode(), json.dumps(body).encode(), ENGINE)


def ordered(path: str, body: Any) -> tuple[Order, list[dict[str, Any]]]:
    order = post(path, body)
    assert isinstance(order, Order), order
    return order, [json.loads(each) for each in order.bodies]


@pytest.mark.parametrize("path", ["/health", "/v1/health", "/models", "/v1/models"])
def test_looking_goes_to_the_engine_without_a_body_or_a_slot(path: str) -> None:
    for method in ("GET", "HEAD"):
        order = judge(method, path.encode() + b"?x=1&y", b"ignored", ENGINE)
        assert order == Order("GET", path, (), SlotUse.NONE, dropped=("?x", "?y"))


@pytest.mark.parametrize("what", ["slots", "props"])
def test_slots_and_props_are_the_doors_to_tell(what: str) -> None:
    assert judge("GET", b"/" + what.encode(), b"", ENGINE) == OwnAnswer(what)
    refused = judge("POST", b"/" + what.encode(), b"{}", ENGINE)
    assert isinstance(refused, Refused)
    assert refused.status == 405


@pytest.mark.parametrize(
    "target",
    [
        b"",
        b"/",
        b"*",
        b"/slots/0",
        b"/slots/0?action=save",
        b"/%73lots",
        b"//slots",
        b"/slots/",
        b"/./slots",
        b"/completion%00",
        b"/completion\x00",
        b"/completion#x",
        b"/completion;x",
        b"/Completion",
        b"/v1\\completions",
        b"http://127.0.0.1/completion",
        b"/metrics",
        b"/lora-adapters",
        b"/tools",
        b"/v1/stream/x",
        b"/v1/streams/lookup",
        b"/v1/chat/completions/control",
        b"/models/load",
        b"/cors-proxy",
        b"/v1/audio/transcriptions",
        b"\xff",
    ],
)
def test_other_paths_are_there_for_nobody(target: bytes) -> None:
    for method in ("GET", "POST", "DELETE"):
        refused = judge(method, target, b"{}", ENGINE)
        assert isinstance(refused, Refused)
        assert refused.status == 404
        assert "under /v1" in refused.message


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", b"/completion", ("POST",)),
        ("HEAD", b"/completion", ("POST",)),
        ("POST", b"/health", ("GET", "HEAD")),
        ("post", b"/completion", ("POST",)),
    ],
)
def test_another_method_is_not_allowed(method: str, path: bytes, allowed: tuple[str, ...]) -> None:
    refused = judge(method, path, b"{}", ENGINE)
    assert isinstance(refused, Refused)
    assert (refused.status, refused.allow) == (405, allowed)


@pytest.mark.parametrize("body", list(agents.chats()))
def test_what_agents_send_is_ordered_with_nothing_dropped(body: dict[str, Any]) -> None:
    order, bodies = ordered("/v1/chat/completions", body)
    assert order.dropped == ()
    assert order.slot_use is SlotUse.PICKED
    assert order.streaming == bool(body.get("stream"))
    assert order.wants_usage == ("stream_options" in body)
    assert len(bodies) == body.get("n", 1)
    assert all(each["messages"] == bodies[0]["messages"] for each in bodies)


def test_several_answers_are_bodies_of_their_own_with_the_next_seeds() -> None:
    order, bodies = ordered("/v1/chat/completions", {"messages": HELLO, "n": 3, "seed": 2**32 - 3})
    assert order.form is AnswerForm.CHAT
    assert [body["seed"] for body in bodies] == [2**32 - 3, 2**32 - 2, -1]
    assert all("n" not in body for body in bodies)
    order, bodies = ordered("/v1/chat/completions", {"messages": HELLO, "n": 2, "seed": 2**32 - 1})
    assert [body["seed"] for body in bodies] == [-1, -1]


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/v1/completions", AnswerForm.TEXT),
        ("/completion", AnswerForm.NATIVE),
        ("/completions", AnswerForm.NATIVE),
    ],
)
def test_prompts_in_a_list_are_answered_one_by_one(path: str, form: AnswerForm) -> None:
    order, bodies = ordered(path, {"prompt": ["a" * 600, [1, 2]], "n": 2, "seed": 5})
    assert order.form is form
    assert [(body["prompt"], body["seed"]) for body in bodies] == [
        *(("a" * 600, 5), ("a" * 600, 6), ([1, 2], 5), ([1, 2], 6))
    ]
    assert [len(each) for each in order.beginnings] == [2, 2, 0, 0]
    order, bodies = ordered(path, {"prompt": ["a"]})
    assert order.form is AnswerForm.AS_IS
    assert bodies == [{"prompt": "a"}]


def test_more_answers_than_the_door_gives_at_a_time_are_refused() -> None:
    for body in (
        {"prompt": ["a"] * 9, "n": 8},
        {"prompt": "a", "n": 65},
        {"prompt": "a" * 3_000_000, "n": 60},
    ):
        refused = post("/completion", body)
        assert isinstance(refused, Refused)
        assert refused.field == "n"


@pytest.mark.parametrize(
    ("path", "body", "slot_use"),
    [
        ("/tokenize", {"content": "a"}, SlotUse.NONE),
        ("/detokenize", {"tokens": [1]}, SlotUse.NONE),
        ("/apply-template", {"messages": HELLO}, SlotUse.NONE),
        ("/v1/chat/completions/input_tokens", {"messages": HELLO}, SlotUse.NONE),
        ("/infill", {"input_prefix": "a", "input_suffix": "b"}, SlotUse.PICKED),
    ],
)
def test_each_path_takes_the_slots_that_it_needs(path: str, body: Any, slot_use: SlotUse) -> None:
    order, bodies = ordered(path, body)
    assert order.slot_use is slot_use
    assert bodies == [body]
    assert len(order.beginnings) == (slot_use is SlotUse.PICKED)


def test_only_a_clients_no_to_the_cache_is_told_on() -> None:
    _, bodies = ordered("/completion", {"prompt": "a", "cache_prompt": True})
    assert bodies == [{"prompt": "a"}]
    _, bodies = ordered("/completion", {"prompt": "a", "cache_prompt": False})
    assert bodies == [{"prompt": "a", "cache_prompt": False}]


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/v1/chat/completions", ErrorShape.OPENAI),
        ("/v1/messages", ErrorShape.ANTHROPIC),
        ("/v1/responses", ErrorShape.RESPONSES),
    ],
)
def test_refusals_are_in_the_shape_of_their_path(path: str, shape: ErrorShape) -> None:
    refused = judge("POST", path.encode(), b"{", ENGINE)
    assert isinstance(refused, Refused)
    assert (refused.status, refused.shape) == (400, shape)


ASKED: dict[str, dict[str, Any]] = {
    "/v1/messages": {"messages": HELLO, "max_tokens": 5},
    "/v1/responses": {"input": "Hello"},
}


@pytest.mark.parametrize(
    ("path", "form"), [("/v1/messages", AnswerForm.MESSAGES), ("/v1/responses", AnswerForm.RESPONSES)]
)
def test_other_dialects_become_chats_whose_streams_tell_usage(path: str, form: AnswerForm) -> None:
    order, (body,) = ordered(path, {**ASKED[path], "stream": True, "odd": 1, "n": 2})
    assert (order.path, order.form, order.slot_use) == ("/v1/chat/completions", form, SlotUse.PICKED)
    assert {"odd", "n"} <= set(order.dropped)
    assert order.streaming
    assert [message["role"] for message in body["messages"]] == ["user"]
    assert body["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("path", ASKED)
@pytest.mark.parametrize("wrong", [{"id_slot": 1}, {"temperature": "hot"}])
def test_what_is_wrong_in_other_dialects_is_refused_by_name(path: str, wrong: dict[str, Any]) -> None:
    refused = post(path, ASKED[path] | wrong)
    assert isinstance(refused, Refused)
    assert refused.field == next(iter(wrong))


def test_a_wrong_field_is_blamed_by_the_clients_own_name() -> None:
    refused = post("/v1/messages", ASKED["/v1/messages"] | {"stop_sequences": ["x"] * 10_000})
    assert isinstance(refused, Refused)
    assert (refused.field, refused.shape) == ("stop_sequences", ErrorShape.ANTHROPIC)


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (
            "/v1/messages",
            {"system": "s", "messages": [{"role": "user", "content": "x" * 5_000_000}]},
            "messages",
        ),
        ("/v1/responses", {"instructions": "s", "input": "x" * 5_000_000}, "input"),
    ],
)
def test_no_message_is_blamed_by_its_number_in_the_chat(path: str, body: dict[str, Any], field: str) -> None:
    refused = post(path, body)
    assert isinstance(refused, Refused)
    assert refused.field == field


@pytest.mark.parametrize(
    ("path", "body", "form"),
    [
        ("/v1/messages/count_tokens", {"messages": HELLO}, AnswerForm.COUNT_MESSAGES),
        ("/v1/responses/input_tokens", {"input": "Hello"}, AnswerForm.AS_IS),
    ],
)
def test_counting_in_other_dialects_asks_for_no_answer(
    path: str, body: dict[str, Any], form: AnswerForm
) -> None:
    order, (asked,) = ordered(path, {**body, "stream": True})
    assert (order.path, order.form) == ("/v1/chat/completions/input_tokens", form)
    assert (order.slot_use, order.streaming) == (SlotUse.NONE, False)
    assert not {"stream", "n"} & asked.keys()


@pytest.mark.parametrize(
    ("path", "body", "engine"),
    [
        ("/v1/embeddings", {"input": ["a", "b"]}, EMBEDS),
        ("/embedding", {"content": "a"}, EMBEDS),
        ("/reranking", {"query": "a", "documents": ["b"]}, RANKS),
    ],
)
def test_vectors_and_ranks_take_slots_of_the_engines_choice(
    path: str, body: dict[str, Any], engine: EngineFacts
) -> None:
    order = judge("POST", path.encode(), json.dumps(body).encode(), engine)
    assert isinstance(order, Order)
    assert order.slot_use is SlotUse.ENGINES
    assert [json.loads(each) for each in order.bodies] == [body]


@pytest.mark.parametrize(
    ("path", "body"), [("/v1/chat/completions", {"messages": HELLO}), ("/completion", {"prompt": "Hello"})]
)
def test_a_question_is_known_however_its_answer_is_to_be_told(path: str, body: dict[str, Any]) -> None:
    told = {"stream": True, "n_probs": 1, "timings_per_token": True, "post_sampling_probs": True}
    assert ordered(path, body)[0].digest == ordered(path, body | told)[0].digest
    assert ordered(path, body)[0].digest != ordered(path, body | {"seed": 5})[0].digest


def test_a_body_beyond_all_bounds_is_too_large() -> None:
    refused = judge("POST", b"/tokenize", b" " * (MOST_BYTES + 1), ENGINE)
    assert isinstance(refused, Refused)
    assert refused.status == 413
    refused = post("/tokenize", {"content": "a" * (5 << 20)})
    assert isinstance(refused, Refused)
    assert refused.status == 400
    assert isinstance(post("/v1/chat/completions", agents.pictures(20 << 20)), Order)


@pytest.mark.parametrize("method", ["POST"])
@drawn(body=st.binary(max_size=300), path=st.sampled_from(sorted(ROUTES)))
def test_any_bytes_are_judged(method: str, body: bytes, path: bytes) -> None:
    assert isinstance(judge(method, path, body, ENGINE), (Refused, Order, OwnAnswer))


def test_requests_of_the_fuzzer_are_refused_or_hold_known_fields_alone() -> None:
    random, orders = Random(8), 0
    for _ in range(400):
        method, target, body = random_request(random)
        judged = judge(method, target, body, ENGINE)
        assert pickle.loads(pickle.dumps(judged)) == judged
        if isinstance(judged, Order):
            orders += 1
            known = bodies_fields(judged.path)
            assert all(set(json.loads(each)) <= known for each in judged.bodies)
            assert all("!" <= one <= "~" for name in judged.dropped for one in name)
    assert 40 < orders < 360


def lines_run(content: bytes, path: bytes) -> int:
    """The lines of the program that judging runs: what it costs, whatever the machine."""
    count = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        judge("POST", path, content, ENGINE)
    finally:
        sys.settrace(before)
    return count


QUARTER = 1 << 18


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (b"/completion", b'{"prompt":[' + b"1," * (QUARTER // 2) + b"1]}"),
        (b"/completion", b'{"prompt":"' + b"a" * QUARTER + b'"}'),
        (b"/completion", b'{"prompt":"a","x":[' + b"[]," * (QUARTER // 3) + b"1]}"),
        (b"/completion", b'{"prompt":"a","stop":[' + b'"",' * (QUARTER // 3) + b'""]}'),
        (b"/completion", b'{"prompt":"a","grammar":"root ::= ' + b"(a*)*|" * (QUARTER // 6) + b'a"}'),
        (
            b"/completion",
            b'{"prompt":"a","json_schema":{"type":"string","pattern":"^' + b"a?" * 510 + b'$"}}',
        ),
        (b"/v1/chat/completions", b'{"messages":[' + b"{}," * (QUARTER // 3) + b"{}]}"),
        (b"/v1/chat/completions", json.dumps({"messages": [{"role": "a", "content": ""}] * 4000}).encode()),
        (b"/completion", b'{"prompt":"a","json_schema":{"anyOf":[' + b"{}," * (QUARTER // 3) + b"{}]}}"),
        (b"/completion", json.dumps({"prompt": "a", "json_schema": {"prefixItems": [{}] * 4900}}).encode()),
        (
            b"/completion",
            json.dumps({"prompt": "a", "grammar": "root ::= " + "a | " * 4000 + '"b"'}).encode(),
        ),
    ],
)
def test_the_price_of_a_body_is_bounded_in_steps(path: bytes, content: bytes) -> None:
    """An agent's half a megabyte runs four hundred thousand lines; nothing small may cost more than that."""
    assert lines_run(content, path) < 700_000


def test_an_agents_body_costs_few_steps() -> None:
    assert lines_run(json.dumps(agents.coding_agent()).encode(), b"/v1/chat/completions") < 700_000
