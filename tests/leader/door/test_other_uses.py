"""Whatever is served, each path either gets what it asks for, or is told in words what else there is."""

import json

import pytest

from leader.door.orders import EngineFacts, Refused
from leader.door.other_uses import why_not_given
from leader.door.routes import ROUTES, Purpose
from leader.door.verdict import judge

ENGINES = {
    "answers": EngineFacts("toy", 512, 1),
    "embeddings": EngineFacts("bert", 512, 1, embeds=True),
    "ranks": EngineFacts("judge", 512, 1, ranks=True),
}
OF_ANY = (Purpose.LOOK, Purpose.OWN, Purpose.TOKENIZE, Purpose.DETOKENIZE)


def given_by(purpose: Purpose) -> set[str]:
    if purpose in OF_ANY:
        return set(ENGINES)
    return {{Purpose.EMBEDDINGS: "embeddings", Purpose.RERANK: "ranks"}.get(purpose, "answers")}


@pytest.mark.parametrize("purpose", list(Purpose))
def test_each_purpose_is_served_by_one_kind_of_model_or_by_all(purpose: Purpose) -> None:
    assert {kind for kind, engine in ENGINES.items() if not why_not_given(purpose, engine)} == given_by(
        purpose
    )


@pytest.mark.parametrize("kind", ENGINES)
def test_what_is_not_given_is_refused_with_501_before_anything_is_read(kind: str) -> None:
    for path, route in ROUTES.items():
        verdict = judge(route.method, path, b"this is no JSON", ENGINES[kind])
        refused = isinstance(verdict, Refused) and verdict.status == 501
        assert refused is (kind not in given_by(route.asked)), (path, verdict)


def test_a_chat_of_an_embedding_model_is_told_what_is_served_and_what_to_do() -> None:
    body = json.dumps({"messages": [{"role": "user", "content": "Hello"}]}).encode()
    refused = judge("POST", b"/v1/chat/completions", body, ENGINES["embeddings"])
    assert isinstance(refused, Refused)
    assert (refused.status, refused.code) == (501, "not_served")
    assert "bert is served for embeddings, not for answers" in refused.message
    assert "/v1/embeddings" in refused.message
    assert "mesh serve" in refused.message
