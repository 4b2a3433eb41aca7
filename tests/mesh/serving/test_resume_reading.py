"""Requests to take up an answer, read so that nothing else waits for it."""

import json
import time
from typing import Any

import pytest

from mesh.gateway.resuming.resume_request import ResumeRequest, SaidText, encode_resume_request
from mesh.serving import resume_reading
from mesh.serving.resume_reading import SMALL, ResumeReading


def request(length: int) -> ResumeRequest:
    return ResumeRequest("/completion", {"prompt": "a" * length}, None, SaidText("", "é", 1), "fast")


@pytest.mark.parametrize("length", [1, SMALL + 1])
async def test_a_request_is_read_however_large_it_is(length: int) -> None:
    asked = request(length)
    assert await ResumeReading().read(encode_resume_request(asked)) == (asked, asked.question())


@pytest.mark.parametrize("length", [1, SMALL + 1])
async def test_one_that_makes_no_sense_is_refused_in_words(length: int) -> None:
    value: dict[str, Any] = json.loads(encode_resume_request(request(length)))
    with pytest.raises(ValueError, match="the text is not as it should be"):
        await ResumeReading().read(json.dumps({**value, "text": [1]}).encode())


async def test_one_that_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume_reading, "MAX_RESUME_REQUEST", 10)
    with pytest.raises(ValueError, match="more than 10 bytes"):
        await ResumeReading().read(b"x" * 11)


async def test_one_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume_reading, "READ_SECONDS", 0.0)
    with pytest.raises(ValueError, match="too long"):
        await ResumeReading().read(b"[" * (SMALL + 1))


async def test_a_large_one_costs_this_process_no_time() -> None:
    content = b'{"body": [' + b"[]," * (2 << 20) + b"[]]}"
    began = time.thread_time()
    with pytest.raises(ValueError, match="not one to take up"):
        await ResumeReading().read(content)
    assert time.thread_time() - began < 0.1
