"""Requests are read and judged for their members."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from leader.door.orders import EngineFacts, Order, OwnAnswer, Refused
from mesh.gateway.resuming.resume_request import ResumeRequest, SaidText, encode_resume_request
from mesh.serving.asking import apart
from mesh.serving.asking import judging as judging_module
from mesh.serving.asking.judging import Judging

ENGINE = EngineFacts("tiny", 4096, 2)
RESUMED = ResumeRequest("/completion", {"prompt": "a"}, None, SaidText("", "é", 1), "fast")


@pytest.fixture
async def judging() -> AsyncIterator[Judging]:
    made = Judging()
    yield made
    await made.aclose()


async def test_a_request_is_judged(judging: Judging) -> None:
    body = json.dumps({"prompt": "a", "n_predict": 1, "unknown": 1}).encode()
    verdict = await judging.judge("anna", "POST", b"/completion", body, ENGINE)
    assert isinstance(verdict, Order)
    assert verdict.dropped == ("unknown",)
    assert await judging.judge("anna", "GET", b"/props", b"", ENGINE) == OwnAnswer("props")


async def test_one_that_takes_too_much_is_refused(judging: Judging, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "APART_SECONDS", 0.0)
    verdict = await judging.judge("anna", "POST", b"/completion", b"{}", ENGINE)
    assert isinstance(verdict, Refused)
    assert verdict.status == 413
    with pytest.raises(ValueError, match="too much memory or time"):
        await judging.read_resume_request("anna", encode_resume_request(RESUMED))


async def test_a_request_to_take_up_an_answer_is_read_with_the_clients_own(judging: Judging) -> None:
    content = encode_resume_request(RESUMED)
    assert await judging.read_resume_request("anna", content) == (RESUMED, RESUMED.question())
    value: dict[str, Any] = json.loads(content)
    with pytest.raises(ValueError, match="the text is not as it should be"):
        await judging.read_resume_request("anna", json.dumps({**value, "text": [1]}).encode())


async def test_one_that_is_too_large_is_not_read(judging: Judging, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging_module, "MAX_RESUME_REQUEST", 10)
    with pytest.raises(ValueError, match="more than 10 bytes"):
        await judging.read_resume_request("anna", b"x" * 11)
