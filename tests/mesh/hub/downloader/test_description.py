"""What the hub has, and what a person reads when it has not."""

import pytest

from tests.lab.hub import ScriptedHub
from tests.mesh.hub.hub_asker import HubAsker, entry, model

REPO = "ann/tiny-GGUF"
TINY = model(5000)


def test_all_gguf_files_are_described_with_size_hash_and_commit(hub: ScriptedHub, ask: HubAsker) -> None:
    files = {"tiny-Q4_K_M.gguf": TINY, "deep/tiny-F16.GGUF": model(7000), "README.md": b"hello"}
    commit = hub.add(REPO, files).commit
    asked = ask.describe(REPO)
    described = {one["path"]: one for one in asked.result.pop("files")}
    assert asked.result == {"repo": REPO, "commit": commit, "closed": False}
    assert described == {path: entry(path, data) for path, data in files.items() if path != "README.md"}
    assert asked.stderr == ""


def test_a_revision_is_described_and_a_missing_one_offers_those_there_are(
    hub: ScriptedHub, ask: HubAsker
) -> None:
    hub.add(REPO, {"a.gguf": TINY})
    hub.add(REPO, {"a.gguf": model(6000)}, revision="second")
    assert ask.describe(REPO, "second").result["files"][0]["size"] == 6000
    error = ask.describe(REPO, "secnd").failure
    assert (error["code"], error["message"]) == ("not_found", f"{REPO} has no revision secnd")
    assert error["hint"] == "it has second, main"


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("ann/tiny", "did you mean: hf:ann/tiny-GGUF, hf:bob/tiny-it-GGUF"),
        ("ann/tyni-GGUF", "did you mean: hf:ann/tiny-GGUF"),
        ("nobody/tiny-9-x", "did you mean: hf:bob/tiny-it-GGUF, hf:ann/tiny-GGUF"),
        ("nobody/nothing", "name one as hf:OWNER/NAME, such as hf:ggml-org/gemma-3-4b-it-GGUF"),
    ],
)
def test_a_name_that_leads_to_nothing_offers_what_is_like_it(
    hub: ScriptedHub, ask: HubAsker, asked: str, hint: str
) -> None:
    for repo in ("ann/tiny-GGUF", "bob/tiny-it-GGUF"):
        hub.add(repo, {"a.gguf": TINY})
    hub.add("ann/tiny-weights", {"a.safetensors": TINY})
    error = ask.describe(asked).failure
    assert error["message"] == f"there is no {asked} on the hub, or it is private"
    assert (error["code"], error["hint"]) == ("not_found", hint)


def test_a_repository_without_gguf_files_offers_those_that_have_some(hub: ScriptedHub, ask: HubAsker) -> None:
    hub.add("ann/tiny", {"model.safetensors": TINY})
    hub.add("bob/tiny-GGUF", {"a.gguf": TINY})
    error = ask.describe("ann/tiny").failure
    assert (error["message"], error["hint"]) == (
        "ann/tiny has no GGUF files",
        "did you mean: hf:bob/tiny-GGUF",
    )


@pytest.mark.parametrize("name", ["../../etc", ""])
def test_what_is_no_name_is_told_in_a_sentence(ask: HubAsker, name: str) -> None:
    error = ask.describe(name).failure
    assert error["code"] in ("not_found", "failed")
    assert error["hint"]
    assert "\n" not in error["message"]


def test_a_private_repository_opens_to_its_token_alone(hub: ScriptedHub, ask: HubAsker) -> None:
    hub.add(REPO, {"a.gguf": TINY}, private=True, token="hf_right")
    assert ask.describe(REPO).failure["code"] == "not_found"
    ask.token = "hf_right"
    assert ask.describe(REPO).result["closed"] is True


def test_a_gated_repository_is_described_as_closed(hub: ScriptedHub, ask: HubAsker) -> None:
    hub.add(REPO, {"a.gguf": TINY}, gated=True)
    assert ask.describe(REPO).result["closed"] is True


def test_a_token_that_the_hub_does_not_know_is_said_to_be_refused(hub: ScriptedHub, ask: HubAsker) -> None:
    hub.add(REPO, {"a.gguf": TINY})
    hub.refuses_tokens = True
    ask.token = "hf_wrong"
    error = ask.describe(REPO).failure
    assert (error["code"], error["message"]) == ("gated", f"the hub at {hub.url} refuses your token")
    assert "hf auth login" in error["hint"]


def test_a_busy_hub_is_asked_again_when_it_says_so(hub: ScriptedHub, ask: HubAsker) -> None:
    hub.add(REPO, {"a.gguf": TINY})
    hub.faults.busy_times, hub.faults.retry_after = 2, "12"
    asked = ask.describe(REPO)
    assert asked.texts == ["the hub asks for patience: again in 12 s"] * 2
    assert asked.result["repo"] == REPO


def test_patience_with_a_busy_hub_has_an_end(hub: ScriptedHub, ask: HubAsker) -> None:
    hub.add(REPO, {"a.gguf": TINY})
    hub.faults.busy_times, hub.faults.retry_after = -1, "70"
    error = ask.describe(REPO).failure
    assert error["code"] == "busy"
    assert "wants to be left alone" in error["message"]


def test_a_hub_out_of_order_is_named_with_its_error(hub: ScriptedHub, ask: HubAsker) -> None:
    hub.add(REPO, {"a.gguf": TINY})
    hub.faults.error_times = -1
    error = ask.describe(REPO).failure
    assert (error["code"], error["message"]) == ("busy", f"the hub at {hub.url} answers with error 503")


def test_a_page_in_place_of_the_hub_is_told_as_that(hub: ScriptedHub, ask: HubAsker) -> None:
    hub.speaks = False
    error = ask.describe(REPO).failure
    assert error["message"] == f"{hub.url} does not answer as a hub does"
    assert "login in a browser" in error["hint"]


def test_a_hub_that_cannot_be_reached_is_named(ask: HubAsker) -> None:
    ask.more = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    error = ask.describe(REPO).failure
    assert error["code"] == "offline"
    assert error["message"].startswith("the hub at http://127.0.0.1:9 cannot be reached: ")
    assert "HF_ENDPOINT" in error["hint"]


@pytest.mark.parametrize("variables", [{"HF_ENDPOINT": "http://127.0.0.1:9"}, {"HF_HUB_OFFLINE": "1"}])
def test_what_the_cache_has_is_described_when_the_hub_cannot_be_reached(
    hub: ScriptedHub, ask: HubAsker, variables: dict[str, str]
) -> None:
    commit = hub.add(REPO, {"deep/a.gguf": TINY, "b.gguf": TINY}).commit
    ask.fetch(REPO, entry("deep/a.gguf", TINY))
    ask.more = variables
    asked = ask.describe(REPO)
    assert asked.result["files"] == [entry("deep/a.gguf", TINY)]
    assert asked.result["commit"] == commit
    assert "the cache" in asked.texts[-1]
    assert ask.describe(REPO, commit).result == asked.result
    assert ask.describe(REPO, "../../..").failure["code"] == "offline"
    assert ask.describe("ann/other").failure["code"] == "offline"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("HF_HUB_ETAG_TIMEOUT", "soon", "the hub's library does not start"),
        ("SSL_CERT_FILE", "/nowhere", "SSL_CERT_FILE names /nowhere"),
    ],
)
def test_a_variable_that_the_library_cannot_use_is_told_in_a_sentence(
    ask: HubAsker, name: str, value: str, words: str
) -> None:
    ask.more = {name: value}
    error = ask.describe(REPO).failure
    assert (words in error["message"], bool(error["hint"])) == (True, True)
