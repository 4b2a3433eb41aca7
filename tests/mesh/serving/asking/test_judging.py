"""Requests are read and judged so that nothing else waits for it."""

import json
import time
from typing import Any

import pytest

from leader.door.orders import EngineFacts, Order, Refused
from mesh.gateway.resuming.resume_request import ResumeRequest, SaidText, encode_resume_request
from mesh.serving.asking import apart, judging
from mesh.serving.asking.apart import SMALL
from mesh.serving.asking.judging import Judging


def request(length: int) -> ResumeRequest:
    return ResumeRequest("/completion", {"prompt": "a" * length}, None, SaidText("", "é", 1), "fast")


@pytest.mark.parametrize("length", [1, SMALL + 1])
async def test_a_request_is_read_however_large_it_is(length: int) -> None:
    asked = request(length)
    assert await Judging().read_resume_request(encode_resume_request(asked)) == (asked, asked.question())


@pytest.mark.parametrize("length", [1, SMALL + 1])
async def test_one_that_makes_no_sense_is_refused_in_words(length: int) -> None:
    value: dict[str, Any] = json.loads(encode_resume_request(request(length)))
    with pytest.raises(ValueError, match="the text is not as it should be"):
        await Judging().read_resume_request(json.dumps({**value, "text": [1]}).encode())


async def test_one_that_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "MAX_RESUME_REQUEST", 10)
    with pytest.raises(ValueError, match="more than 10 bytes"):
        await Judging().read_resume_request(b"x" * 11)


async def test_one_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "APART_SECONDS", 0.0)
    with pytest.raises(ValueError, match="too much memory or time"):
        await Judging().read_resume_request(b"[" * (SMALL + 1))


async def test_a_large_one_costs_this_process_no_time() -> None:
    content = b'{"body": [' + b"[]," * (2 << 20) + b"[]]}"
    began = time.thread_time()
    with pytest.raises(ValueError, match="not one to take up"):
        await Judging().read_resume_request(content)
    assert time.thread_time() - began < 0.1


ENGINE = EngineFacts("tiny", 4096, 2)


@pytest.mark.parametrize("length", [1, SMALL + 1])
async def test_the_verdict_on_a_request_is_the_same_however_large_it_is(length: int) -> None:
    body = json.dumps({"prompt": "a" * length, "n_predict": 1, "unknown": 1}).encode()
    verdict = await Judging().judge("POST", b"/completion", body, ENGINE)
    assert isinstance(verdict, Order)
    assert (json.loads(verdict.bodies[0])["prompt"], verdict.dropped) == ("a" * length, ("unknown",))


async def test_a_request_that_takes_too_much_to_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "APART_SECONDS", 0.0)
    verdict = await Judging().judge("POST", b"/completion", b"[" * (SMALL + 1), ENGINE)
    assert isinstance(verdict, Refused)
    assert verdict.status == 413
