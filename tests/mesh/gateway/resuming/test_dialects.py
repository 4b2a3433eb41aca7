import json
from typing import Any

import pytest

from mesh.gateway.resuming.dialects import StreamPiece, is_preliminary, parse_event, read_piece, text_bytes
from mesh.gateway.resuming.request import Dialect


def chat(delta: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"choices": [{"finish_reason": None, "index": 0, "delta": delta}], **more}


def test_a_native_event_tells_its_tokens() -> None:
    event = {"content": "é", "tokens": [7], "stop": False, "tokens_predicted": 3}
    assert read_piece(Dialect.NATIVE, event) == StreamPiece((7,), 3, "é", "é")
    assert read_piece(Dialect.NATIVE, {**event, "prompt_progress": {}}) == StreamPiece()


def test_a_text_event_tells_them_in_its_debugging_output() -> None:
    native = {"content": "x", "tokens": [7], "stop": True, "stop_type": "eos", "tokens_predicted": 3}
    event = {"choices": [{"text": "x", "finish_reason": "stop"}], "__verbose": native}
    assert read_piece(Dialect.TEXT, event) == StreamPiece((7,), 3, "x", "x", finish="stop")


def test_a_chat_event_tells_them_as_log_probabilities() -> None:
    event = chat({"content": " é"}, timings={"predicted_n": 3})
    event["choices"][0]["logprobs"] = {"content": [{"id": 7, "bytes": list("é".encode())}]}
    assert read_piece(Dialect.CHAT, event) == StreamPiece((7,), 3, "é", " é")


def test_a_chat_event_may_hold_thoughts_and_calls() -> None:
    assert read_piece(Dialect.CHAT, chat({"reasoning_content": "hm"})).thought == "hm"
    assert read_piece(Dialect.CHAT, chat({"tool_calls": [{}]})).foreign


@pytest.mark.parametrize(
    ("event", "preliminary"),
    [
        (chat({"role": "assistant", "content": None}), True),
        (chat({"role": "assistant", "content": "x"}), False),
        (chat({"content": "x"}), False),
        (chat({}, prompt_progress={"total": 3}), True),
        ({"choices": []}, False),
    ],
)
def test_who_speaks_is_no_part_of_what_is_said(event: dict[str, Any], preliminary: bool) -> None:
    assert is_preliminary(Dialect.CHAT, event) is preliminary


@pytest.mark.parametrize("raw", [b": ping\n\n", b"data: [DONE]\n\n", b"data: 5\n\n", b"data: {\n\n", b"\n\n"])
def test_not_everything_in_a_stream_is_an_object(raw: bytes) -> None:
    assert parse_event(raw) is None
    assert parse_event(b"data: " + json.dumps({"a": 1}).encode() + b"\n\n") == {"a": 1}


def test_a_number_is_no_text() -> None:
    assert (text_bytes("é"), text_bytes([195, 169])) == ("é".encode(), "é".encode())
    with pytest.raises(TypeError):
        text_bytes(10**12)
