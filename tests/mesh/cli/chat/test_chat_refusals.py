from typing import cast

import pytest

from mesh.cli.chat.answer_events import BROKEN_OFF, GATEWAY_GONE, AskFailed
from mesh.cli.chat.chat_refusals import explain, refuse_unserved
from mesh.control.operations import Status
from mesh.wire.errors import MeshError
from tests.mesh.cli import examples


def test_a_full_context_is_told_with_its_size_and_the_way_out() -> None:
    text = "request (1300 tokens) exceeds the available context size (1024 tokens), try increasing it"
    error = explain(AskFailed(400, "exceed_context_size_error", text))
    assert error.message == "the conversation is longer than the context of 1024 tokens"
    assert error.hint == "/new begins anew"
    assert explain(AskFailed(413, "", "too large"), "ask about less").hint == "ask about less"


@pytest.mark.parametrize(
    ("failed", "hint"),
    [
        (AskFailed(403, "may_not_ask", "no right"), "mesh members"),
        (AskFailed(429, "too_many_requests", "16 are answered", 3.0), "ask again in 3 s"),
        (AskFailed(503, "not_ready", "loading", 2.0), "ask again in 2 s"),
        (AskFailed(413, "too_large", "too large"), "/new"),
        (AskFailed(0, GATEWAY_GONE, "it does not answer"), "mesh join"),
        (AskFailed(0, BROKEN_OFF, "it broke off"), "mesh logs"),
        (AskFailed(500, "", "a mistake"), "mesh status"),
    ],
)
def test_every_failure_says_what_to_do_next(failed: AskFailed, hint: str) -> None:
    error = explain(failed)
    assert error.message == failed.message
    assert hint in error.hint


def test_a_pool_without_a_model_or_with_a_failed_one_refuses() -> None:
    refuse_unserved(cast(Status, examples.status()))
    with pytest.raises(MeshError, match="no model is served") as error:
        refuse_unserved(cast(Status, examples.status(deployment=None)))
    assert "mesh serve" in error.value.hint
    failed = {"model": "m.gguf", "sha256": "", "state": "failed", "progress": 0.0, "reason": "bad magic"}
    with pytest.raises(MeshError, match=r"m\.gguf cannot be served: bad magic"):
        refuse_unserved(cast(Status, examples.status(deployment=failed)))
