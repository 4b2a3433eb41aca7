"""Text that a stream holds back, because it could become a stop string."""

import json

import pytest

from mesh.gateway.resuming.held_back_text import HeldBackText, held_back_request
from mesh.gateway.resuming.request import CompletionRequest, read_request
from mesh.gateway.resuming.settled_tokens import SettledTokens
from tests.mesh.gateway.resuming.fake_llama import PROMPT, FakeLlama


def completion(path: str = "/completion") -> CompletionRequest:
    request = read_request(path, json.dumps({"prompt": "Say it: ", "stop": ["!"], "max_tokens": 9}).encode())
    assert request is not None
    return request


def test_the_missing_tokens_are_asked_for_without_stop_strings() -> None:
    tokens = SettledTokens((10, 11), (), (1, "b"))
    asked = held_back_request(completion(), tokens, 5)
    assert asked.body == {"prompt": "Say it: ", "n_predict": 5}
    assert (asked.tokens, asked.text, asked.how) == (tokens, None, "fast")


@pytest.mark.parametrize(
    ("pieces", "text"),
    [([b"One", b" two"], "One two"), ([b"One", b" \xe6"], "One\ufffd"), ([b"\xe6", b"\x97", b"\xa5"], "日")],
)
def test_the_text_ends_as_a_whole_answer_does_that_ends_within_a_character(
    pieces: list[bytes], text: str
) -> None:
    held_back = HeldBackText(completion())
    for event in FakeLlama(pieces).stream("/completion", {"prompt": PROMPT, "n_predict": len(pieces)}):
        assert not held_back.ended
        held_back.feed(event)
    assert (held_back.ended, held_back.text) == (True, text)


def test_comments_are_passed_over_and_nonsense_is_not() -> None:
    held_back = HeldBackText(completion())
    held_back.feed(b": wait\n\n")
    with pytest.raises(LookupError):
        held_back.feed(b'data: {"error": {"message": "gone"}}\n\n')
