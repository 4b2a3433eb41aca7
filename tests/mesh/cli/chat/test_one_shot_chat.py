import io
import sys

import pytest

from mesh.cli.chat.one_shot_chat import MAX_PIPED, whole_prompt
from mesh.cli.options import UsageError
from tests.mesh.cli import examples
from tests.mesh.cli.chat.scripted_gateway import (
    DONE,
    ScriptedGateway,
    chunk,
    event,
    head,
    refused,
    usage,
    whole,
)
from tests.mesh.cli.conftest import FakeSidecar, Terminal


@pytest.fixture(autouse=True)
def nothing_piped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))


def test_a_prompt_and_piped_text_are_one_message() -> None:
    pipe = io.BytesIO("text\nö\n".encode())
    assert whole_prompt(["What", "is this?"], pipe) == "What is this?\n\ntext\nö"
    assert whole_prompt([], io.BytesIO(b"  piped\n")) == "  piped"
    assert whole_prompt(["Hi"], io.BytesIO(b"")) == "Hi"
    assert whole_prompt(["Hi"], None) == "Hi"


@pytest.mark.parametrize("piped", [b"", b" \n\n", b"x" * (MAX_PIPED + 1)])
def test_nothing_and_too_much_are_usage_errors(piped: bytes) -> None:
    with pytest.raises(UsageError):
        whole_prompt([], io.BytesIO(piped))


def test_input_that_cannot_be_read_is_a_usage_error() -> None:
    class Folder(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise IsADirectoryError(21, "Is a directory")

    with pytest.raises(UsageError, match="cannot read standard input: Is a directory"):
        whole_prompt(["Hi"], Folder())


async def test_the_answer_alone_goes_to_standard_output(mesh: Terminal, sidecar: FakeSidecar) -> None:
    answer = [
        *(head(), chunk(thought="hm"), chunk("Hello"), b": waiting for a leader\n\n", chunk(" there")),
        *(chunk(finish="stop"), usage(2), DONE),
    ]
    with ScriptedGateway(answer) as gateway:
        sidecar.answers["status"] = examples.status(api=gateway.api)
        outcome = await mesh("chat", "Hi", "you", "--system", "Be brief.")
    assert (outcome.code, outcome.out) == (0, "Hello there\n")
    assert outcome.err == "the leader was lost, waiting\n"
    assert gateway.asked[0]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi you"},
    ]


async def test_json_tells_the_answer_its_times_and_who_computed_it(
    mesh: Terminal, sidecar: FakeSidecar
) -> None:
    with ScriptedGateway(whole("Hello", " there")) as gateway:
        sidecar.answers["status"] = examples.status(api=gateway.api)
        told = (await mesh("chat", "Hi", "--json")).json()
    assert list(told) == [
        *("text", "model", "first_token_seconds", "seconds", "tokens", "tokens_per_second"),
        *("longest_pause_seconds", "pauses", "finish_reason", "computed_by", "leader"),
    ]
    assert (told["text"], told["model"], told["tokens"]) == ("Hello there", "tiny.gguf", 2)
    assert told["computed_by"][0] == {
        "member": examples.ALPHA,
        "name": "alpha",
        "device": "",
        "layers": [0, 7],
    }
    assert told["leader"]["name"] == "beta"


@pytest.mark.parametrize("as_json", [False, True])
async def test_what_keeps_an_answer_from_its_end_is_told_in_words(
    mesh: Terminal, sidecar: FakeSidecar, as_json: bool
) -> None:
    failed = event({"error": {"message": "another model is served now", "code": "upstream_lost"}})
    full = refused("400 Bad Request", "exceed_context_size_error", "exceeds the context size (512 tokens)")
    options = ["--json"] if as_json else []
    with ScriptedGateway([head(), chunk("He"), failed], full) as gateway:
        sidecar.answers["status"] = examples.status(api=gateway.api)
        broken, long = await mesh("chat", "Hi", *options), await mesh("chat", "Hi", *options)
    assert (broken.code, long.code) == (1, 1)
    if as_json:
        assert broken.json()["error"]["message"] == "another model is served now"
        assert long.json()["error"]["message"] == "the conversation is longer than the context of 512 tokens"
    else:
        assert broken.out == "He\n"
        assert "mesh: another model is served now" in broken.err
        assert "longer than the context of 512 tokens" in long.err
        assert "/new" not in long.err
