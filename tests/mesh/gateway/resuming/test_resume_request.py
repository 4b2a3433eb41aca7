"""What is sent to a leader that is to take up an answer comes as it was, and nothing else comes."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.gateway.resuming import resume_request
from mesh.gateway.resuming.resume_request import (
    ResumeRequest,
    SaidText,
    decode_resume_request,
    encode_resume_request,
)
from mesh.gateway.resuming.settled_tokens import Gap, SettledTokens

BODY = {"prompt": "Count:", "stream": True, "temperature": 0}
TOKENS = SettledTokens((1, None, 3), (Gap(1, 2, "a", "é"),), (1, "éb"))
SAID = SaidText("so", "it is", 9)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False)
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


def request(**more: Any) -> ResumeRequest:
    return replace(ResumeRequest("/completion", BODY, TOKENS, SAID, "fast"), **more)


@pytest.mark.parametrize("tokens", [TOKENS, None])
@pytest.mark.parametrize("text", [SAID, SaidText("", "", 1)])
@pytest.mark.parametrize("paced", [True, False])
def test_what_is_asked_comes_as_it_was(tokens: SettledTokens | None, text: SaidText, paced: bool) -> None:
    asked = request(tokens=tokens, text=text, paced=paced, full=not paced)
    assert decode_resume_request(encode_resume_request(asked)) == asked


def raw(**more: Any) -> bytes:
    value = json.loads(encode_resume_request(request()))
    return json.dumps({**value, **more}).encode()


def tokens(**more: Any) -> dict[str, Any]:
    return {**json.loads(encode_resume_request(request()))["tokens"], **more}


WRONG: list[dict[str, Any]] = [
    {"path": "/props"},
    {"path": 1},
    {"body": []},
    {"how": "slow"},
    {"paced": 1},
    {"full": None},
    {"more": 1},
    {"tokens": None, "text": None},
    {"tokens": tokens(ids=[])},
    {"tokens": tokens(ids=[1, None, True])},
    {"tokens": tokens(ids=[1, None, -1])},
    {"tokens": tokens(ids=[1, None, 1 << 31])},
    {"tokens": tokens(ids=[1, None, 3.0])},
    {"tokens": tokens(ids=[None, None, 3])},
    {"tokens": tokens(gaps=[])},
    {"tokens": tokens(gaps=[[1, 2, "a", "b"], [1, 2, "a", "b"]])},
    {"tokens": tokens(gaps=[[0, 1, "a", "b"], [1, 2, "a", "b"]])},
    {"tokens": tokens(gaps=[[1, 9, "a", "b"]])},
    {"tokens": tokens(gaps=[[-2, 2, "a", "b"]])},
    {"tokens": tokens(gaps=[[1, 2, "a" * 25, "b"]])},
    {"tokens": tokens(gaps=[[1, 2, "a"]])},
    {"tokens": tokens(last=[4, ""])},
    {"tokens": tokens(last=[-1, ""])},
    {"tokens": tokens(last=[1])},
    {"tokens": tokens(more=1)},
    {"text": ["", "", 0]},
    {"text": ["", "", 1 << 40]},
    {"text": ["", 1, 1]},
    {"text": ["", ""]},
]


@pytest.mark.parametrize("more", WRONG, ids=repr)
def test_what_is_not_as_it_should_be_is_refused(more: dict[str, Any]) -> None:
    decode_resume_request(raw())
    with pytest.raises(ValueError):  # noqa: PT011 - each in its own words
        decode_resume_request(raw(**more))


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"[" * 100_000, b"[NaN]", b"7", b"{}", b'{"a":' + b"9" * 5000]
)
def test_what_is_no_request_at_all_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each in its own words
        decode_resume_request(content)


@given(st.dictionaries(st.sampled_from(list(json.loads(raw()))), JSON))
def test_no_values_whatever_make_the_leader_stumble(values: dict[str, Any]) -> None:
    try:
        read = decode_resume_request(raw(**values))
    except ValueError:
        return
    assert decode_resume_request(encode_resume_request(read)) == read


def test_a_request_that_could_not_be_written_again_is_refused() -> None:
    nested: Any = []
    for _ in range(resume_request.MAX_DEPTH):
        nested = [nested]
    with pytest.raises(ValueError, match="too deeply"):
        decode_resume_request(raw(body={"prompt": nested}))
    decode_resume_request(raw(body={"prompt": nested[0][0]}))


def test_a_request_has_its_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume_request, "MAX_TOKENS", 2)
    with pytest.raises(ValueError, match="tokens"):
        decode_resume_request(raw())
    monkeypatch.setattr(resume_request, "MAX_RESUME_REQUEST", 10)
    with pytest.raises(ValueError, match="more than 10 bytes"):
        decode_resume_request(raw())


@pytest.mark.parametrize("usage", [True, False])
def test_the_doors_body_takes_the_place_of_the_clients_but_not_how_it_is_told(usage: bool) -> None:
    asked = request(body={**BODY, "stream_options": {"include_usage": usage, "x": 1}, "lora": []})
    body = asked.judged({"prompt": "Count:", "n_predict": 7}).body
    assert body == {
        "prompt": "Count:",
        "n_predict": 7,
        "stream": True,
        **({"stream_options": {"include_usage": True}} if usage else {}),
    }
