"""Requests by which a client once ended llama-server, read what others asked, or changed their answers.

Each is made of plain JSON, so that a program on another host can be given it: ``method``, ``path``, ``body``
(a value) or ``text`` (sent as it is), ``headers``, the ``kind`` of its stream, and ``leave_after`` (seconds
after which the client hangs up). ``refused``: it must get an error below 500.
"""

from collections.abc import Iterator
from typing import Any

Request = dict[str, Any]

CHAT = "/v1/chat/completions"
GENERATING = ("/completion", "/v1/completions", CHAT, "/infill", "/v1/responses", "/v1/messages")
_WHOLE = ("repeat_last_n", "dry_penalty_last_n", "dry_allowed_length", "top_k", "min_keep", "seed")
BAD_NUMBERS = (2**31, -(2**31), 2**63, 10**400, -1e308)


def _asking(path: str, **fields: Any) -> Request:
    of_paths: dict[str, dict[str, Any]] = {
        CHAT: {"messages": [{"role": "user", "content": "Hello"}]},
        "/v1/messages": {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4},
        "/v1/responses": {"input": "Hello"},
        "/infill": {"input_prefix": "def f(", "input_suffix": ")"},
    }
    what = of_paths.get(path, {"prompt": "Hello"})
    limit = {} if path in ("/v1/messages", "/v1/responses") else {"n_predict": 4}
    return {"method": "POST", "path": path, "body": what | limit | fields}


def _nested(levels: int, inner: str = "a") -> str:
    """A pattern whose repetitions multiply: 99 to the power of the levels."""
    for _ in range(levels):
        inner = f"({inner}){{0,99}}"
    return inner


def ending_the_engine() -> Iterator[Request]:
    """R1, R2: one request that ends llama-server, or keeps its loop for as long as a watchdog allows."""
    trigger = {"type": 9, "value": "a", "token": 1}
    regex = {"type": 3, "value": "(a+)+" * 50 + "(" * 20_000}
    for path in GENERATING[:4]:
        for hostile in (
            {"grammar": 'root ::= "a"', "grammar_lazy": True, "grammar_triggers": [trigger]},
            {"grammar": 'root ::= "a"', "grammar_lazy": True, "grammar_triggers": [regex]},
            {"grammar_triggers": [trigger]},
            {"chat_parser": '{"rules":[{"type":"sequence","children":[0]}]}'},
            {"chat_format": 99},
            {"generation_prompt": "x" * 1000},
            {"preserved_tokens": ["a"] * 1000},
            {"lora": [{"id": 0, "scale": 1e38}]},
        ):
            yield _asking(path, **hostile) | {"refused": True}
        for heavy in (
            {"json_schema": {"type": "string", "pattern": f"^{_nested(5)}$"}},
            {"json_schema": {"type": "string", "pattern": "^" + "(" * 20_000 + ")" * 20_000 + "$"}},
            {"json_schema": _deep_schema(5_000)},
            {"grammar": "root ::= " + "(" * 20_000 + '"a"' + ")" * 20_000},
            {"grammar": 'root ::= a{0,99}\na ::= b{0,99}\nb ::= c{0,99}\nc ::= "x"{0,99}'},
            {"grammar": 'root ::= ("a"*)*'},
            {"grammar": "root ::= root"},
            {"stop": ["x" * 10_000] * 10_000},
            {"logit_bias": [[token, 1.0] for token in range(100_000)]},
            {"n_probs": 10**6},
            {"samplers": ["infill"], "temperature": 1.0},
            {"samplers": ["top_k", "infill"], "top_k": 0, "temperature": 1.0},
            {"dry_multiplier": 1.0, "dry_sequence_breakers": [f"{at:02}e the ing" for at in range(32)]},
        ):
            yield _asking(path, **heavy) | {"refused": True}
        for name in (
            "repeat_last_n",
            "dry_penalty_last_n",
            "dry_allowed_length",
            "top_k",
            "min_keep",
            "seed",
        ):
            for number in BAD_NUMBERS:
                yield _asking(path, **{name: number})
        for name in ("temperature", "top_p", "min_p", "typical_p", "mirostat_tau", "dynatemp_range"):
            yield {
                "method": "POST",
                "path": path,
                "text": f'{{"prompt":"a","messages":[],"n_predict":4,"{name}":NaN}}',
                "refused": True,
            }
    yield _asking(CHAT, response_format={"type": "json_schema", "json_schema": {"schema": _deep_schema(200)}})
    yield _asking("/completion", prompt=["a"] * 20_000) | {"refused": True}
    yield {"method": "POST", "path": "/tokenize", "body": {"content": "a b " * 3_000_000}, "refused": True}
    yield {"method": "POST", "path": "/detokenize", "body": {"tokens": [2**31 - 1, -5]}}
    yield {"method": "POST", "path": "/completion", "text": "[" * 100_000, "refused": True}
    yield {"method": "POST", "path": "/completion", "text": '{"prompt": "\\ud800"}'}


def _deep_schema(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(min(levels, 300)):  # more than that, Python's own encoder does not write
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    return schema


def touching_others() -> Iterator[Request]:
    """R3, R4, R6, R9, R23: what is others', the engine's own, or outlives the client."""
    for path in GENERATING[:4]:
        for fields in ({"n_cache_reuse": 1}, {"id_slot": 0}, {"n_keep": -1}, {"n_discard": 3}):
            yield _asking(path, **fields) | {"refused": True}
    for number in range(8):
        for action in ("save", "restore", "erase"):
            for path in (
                f"/slots/0?action={action}",
                f"/slots/%30?action={action}",
                f"//slots/0?action={action}",
            ):
                body = {"filename": f"mine-{number}"}
                yield {"method": "POST", "path": path, "body": body, "refused": True}
    for method, path in (
        ("GET", "/metrics"),
        ("GET", "/%6detrics"),
        ("POST", "/props"),
        ("GET", "/lora-adapters"),
        ("POST", "/lora-adapters"),
        ("GET", "/v1/stream?conv_id=abc"),
        ("DELETE", "/v1/stream?conv_id=abc"),
        ("POST", "/v1/streams/lookup"),
        ("POST", "/v1/chat/completions/control"),
        ("GET", "/tools"),
        ("POST", "/tools"),
        ("POST", "/v1/audio/transcriptions"),
        ("GET", "/cors-proxy?url=http://127.0.0.1/"),
        ("POST", "/models/load"),
        ("GET", "/models/sse"),
        ("OPTIONS", "/completion"),
        ("PUT", "/completion"),
    ):
        yield {"method": method, "path": path, "body": {}, "refused": True}


def lasting() -> Iterator[Request]:
    """R9: answers without end whose client hangs up, though a header asks that they go on."""
    for number in range(8):
        yield _asking("/completion", n_predict=-1, stream=True, ignore_eos=True) | {
            "headers": [["X-Conversation-Id", f"mine-{number}"]],
            "leave_after": 0.3,
        }


def ambiguous() -> Iterator[Request]:
    """R28: requests that two readers may read differently."""
    for headers in (
        [["Content-Length", "4"], ["Transfer-Encoding", "chunked"]],
        [["Transfer-Encoding", "chunked, chunked"]],
        [["Content-Length", "4"], ["Content-Length", "5"]],
    ):
        yield {"method": "POST", "path": "/completion", "raw": True, "headers": headers, "text": "0\r\n\r\n"}


def resuming() -> Iterator[Request]:
    """What a gateway may send on a stream of kind ``resume``, and never would."""
    values: list[Any] = [
        {},
        [],
        {"path": "/slots/0?action=save", "body": {"filename": "mine"}},
        {"path": "/completion", "body": {"prompt": "a", "id_slot": 0, "n_cache_reuse": 1}},
        {"path": "/completion", "body": {"prompt": "a", "grammar_triggers": [{"type": 9}]}},
    ]
    for value in values:
        yield {"kind": "resume", "method": "POST", "path": "/resume", "body": value, "refused": True}
    for path in ("/completion", CHAT, "/slots/0?action=save", "/tokenize"):
        yield {"kind": "resume", "method": "POST", "path": path, "body": {"prompt": "a"}, "refused": True}


def all_requests() -> list[Request]:
    """All of them, the ambiguous ones left out: an HTTP client cannot send these."""
    return [*ending_the_engine(), *touching_others(), *lasting()]
