"""Descriptions that would hurt whoever reads on."""

from typing import Any

import pytest

from mesh.hub.downloader import checked_entry as module
from mesh.hub.downloader.checked_entry import checked_entry
from mesh.hub.hub_lines import HubError
from tests.lab.hub import ScriptedHub
from tests.mesh.hub.hub_asker import HubAsker, model

FILE = {"path": "a.gguf", "size": 5, "sha256": "b" * 64}
ENTRY = {"repo": "ann/a", "commit": "c" * 40, "closed": False, "files": [FILE]}


def entry(**changed: Any) -> Any:
    return {**ENTRY, **changed}


def of_file(**changed: Any) -> Any:
    return entry(files=[{**FILE, **changed}])


@pytest.mark.parametrize("given", [entry(), entry(repo="gpt2"), of_file(size=0, sha256="")])
def test_a_description_of_a_usual_kind_stays_as_it_is(given: Any) -> None:
    assert checked_entry(given) == given


@pytest.mark.parametrize(
    "given",
    [
        *(entry(repo=one) for one in ("../../etc", "a/b/c", "..", "", {"a": 1}, "a/b\n", "ann/\x1b[31m")),
        entry(commit=5),
        *(of_file(size=one) for one in ("12", -5, 10**30, [1], True, 1.5)),
        *(of_file(sha256=one) for one in (["x"], "../../../etc/passwd", "B" * 64, 5)),
    ],
)
def test_what_is_no_description_is_refused(given: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        checked_entry(given)


@pytest.mark.parametrize(
    "path",
    ["../a.gguf", "/etc/a.gguf", "a//b.gguf", "a\\b.gguf", "\x1b[31m.gguf", "a\0.gguf", "ä" * 254 + ".gguf"],
)
def test_files_that_lead_elsewhere_or_cannot_be_shown_are_left_out(path: str) -> None:
    given = entry(files=[FILE, {**FILE, "path": path}])
    assert checked_entry(given)["files"] == [FILE]


def test_more_files_than_are_looked_at_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_FILES", 2)
    with pytest.raises(HubError, match="has 3 GGUF files"):
        checked_entry(entry(files=[FILE] * 3))


def test_a_hub_that_lies_about_sizes_does_not_answer_as_a_hub_does(hub: ScriptedHub, ask: HubAsker) -> None:
    hub.add("ann/tiny-GGUF", {"a.gguf": model(100)})
    hub.faults.listed_longer = -200
    error = ask.describe("ann/tiny-GGUF").failure
    assert error["message"].endswith("does not answer as a hub does")
