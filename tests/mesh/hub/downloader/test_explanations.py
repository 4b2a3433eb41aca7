"""Sentences for what the hub refuses."""

import pytest

from mesh.hub.downloader.explanations import did_you_mean, most_alike, refused, revisions_hint, unreachable
from mesh.hub.downloader.refusals import Broken, HttpRefusal, NeverBegun

HUB = "https://hub"


@pytest.mark.parametrize(
    ("status", "code", "message", "token", "kind", "words"),
    [
        (401, "", "Invalid credentials in Authorization header", True, "gated", "refuses your token"),
        (401, "", "Invalid username or password.", False, "not_found", "there is no a/b on the hub"),
        (404, "RepoNotFound", "", True, "not_found", "or it is private"),
        (401, "GatedRepo", "", False, "gated", "its owner wants to know"),
        (403, "GatedRepo", "", True, "gated", "refuses your token for it"),
        (403, "", "not in your plan", False, "gated", "a/b: not in your plan"),
        (404, "EntryNotFound", "", False, "not_found", "no such file"),
        (500, "", "", False, "busy", "error 500"),
        (451, "", "Access to this resource is disabled.", False, "failed", "resource is disabled"),
    ],
)
def test_each_refusal_has_its_kind_and_its_words(
    status: int, code: str, message: str, token: bool, kind: str, words: str
) -> None:
    error = HttpRefusal(f"{HUB}/a/b", status, {"x-error-code": code, "x-error-message": message})
    told = refused(error, "a/b", HUB, token)
    assert (told.code, words in told.message) == (kind, True)


def test_a_hub_out_of_reach_says_how_to_reach_one() -> None:
    assert "HF_ENDPOINT" in unreachable(HUB, Broken("cut")).hint
    assert "HF_HUB_OFFLINE" in unreachable(HUB, NeverBegun("", offline=True)).message


def test_at_most_five_are_offered_the_most_alike_first() -> None:
    found = [f"x/other{number}" for number in range(9)] + ["ann/tiny-GGUF", "bob/Tiny-GGUF"]
    assert most_alike("ann/tiny-gguf", found)[:2] == ["ann/tiny-GGUF", "bob/Tiny-GGUF"]
    assert did_you_mean("ann/tiny-gguf", found).count("hf:") == 5
    assert did_you_mean("ann/tiny", []).startswith("name one as hf:OWNER/NAME")


def test_revisions_are_offered_and_more_are_hinted_at() -> None:
    assert revisions_hint([], "x") == "leave the revision out"
    assert revisions_hint(["main", "v1"], "v2") == "it has v1, main"
    assert revisions_hint([f"v{number}" for number in range(9)], "v1").endswith(", ...")
