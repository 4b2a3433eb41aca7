"""Models from any address, over https with a certificate of the hub made for tests."""

import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from mesh.hub.downloader.progress_lines import ProgressLines
from mesh.hub.downloader.url_downloads import fetch_url, part_urls
from mesh.hub.hub_lines import HubError
from tests.lab.hub import ScriptedHub
from tests.mesh.hub.hub_asker import HubAsker, model

TINY = model(200_000)
TINY_SHA256 = hashlib.sha256(TINY).hexdigest()


def kept(ask: HubAsker) -> list[str]:
    """Names of all files below the folder of models, but for locks."""
    return sorted(one.name for one in ask.folder.glob("models/*/*") if one.name != ".lock")


def test_a_file_lands_in_a_folder_of_its_address_and_is_not_fetched_again(
    hub: ScriptedHub, ask: HubAsker
) -> None:
    hub.put("a/tiny.gguf", TINY)
    hub.put("b/tiny.gguf", TINY[:-1])
    url = hub.file_url("a/tiny.gguf")
    asked = ask.fetch_url(url)
    [file] = asked.files
    assert (file.name, file.parent.parent, file.read_bytes()) == ("tiny.gguf", ask.folder / "models", TINY)
    assert asked.progress[-1] == {**asked.progress[-1], "done": 200_000, "total": 200_000}
    assert ask.fetch_url(hub.file_url("b/tiny.gguf")).files != [file]
    hub.requests.clear()
    assert ask.fetch_url(f"{url}?signature=another").files == [file]
    assert hub.requests == []
    assert (asked.stderr, kept(ask)) == ("", ["tiny.gguf", "tiny.gguf"])


def test_all_parts_of_a_split_model_come_along(hub: ScriptedHub, ask: HubAsker) -> None:
    parts = {f"m/t-0000{part}-of-00003.gguf": model(50_000, part) for part in (1, 2, 3)}
    for path, data in parts.items():
        hub.put(path, data)
    files = ask.fetch_url(hub.file_url("m/t-00002-of-00003.gguf")).files
    assert [one.read_bytes() for one in files] == list(parts.values())
    assert len({one.parent for one in files}) == 1


@pytest.mark.parametrize(
    ("faults", "spans"),
    [
        (
            {"cut_after": 70_000, "cut_times": 2},
            ["", "bytes=70000-", "bytes=140000-"],
        ),
        ({"cut_after": 70_000, "no_ranges": True}, ["", "bytes=70000-"]),
        ({"busy_times": 2}, ["", "", ""]),
    ],
)
def test_a_download_from_an_address_goes_on_after_what_passes(
    hub: ScriptedHub, ask: HubAsker, faults: dict[str, Any], spans: list[str]
) -> None:
    hub.put("tiny.gguf", TINY)
    for name, value in faults.items():
        setattr(hub.faults, name, value)
    [file] = ask.fetch_url(hub.file_url("tiny.gguf"), TINY_SHA256.upper()).files
    assert file.read_bytes() == TINY
    assert [one.span for one in hub.requests] == spans
    assert kept(ask) == ["tiny.gguf"]


def test_a_part_of_another_version_is_not_gone_on_with(hub: ScriptedHub, ask: HubAsker) -> None:
    hub.put("tiny.gguf", TINY)
    hub.faults.cut_after, hub.faults.cut_times, hub.faults.no_ranges = 70_000, -1, True
    assert ask.fetch_url(hub.file_url("tiny.gguf")).failure["code"] == "offline"
    assert kept(ask) == ["tiny.gguf.incomplete", "tiny.gguf.incomplete.version"]
    hub.faults.cut_times, hub.faults.no_ranges = 0, False
    other = model(200_000, seed=2)
    hub.put("tiny.gguf", other)
    [file] = ask.fetch_url(hub.file_url("tiny.gguf")).files
    assert hub.requests[-1].span == "bytes=70000-"
    assert file.read_bytes() == other


@pytest.mark.parametrize("tag", ['"\xff\xfe"', '"' + "a" * 30_000 + '"'])
def test_a_version_that_could_not_be_sent_back_is_as_none(hub: ScriptedHub, ask: HubAsker, tag: str) -> None:
    hub.put("tiny.gguf", TINY)
    hub.faults.cut_after, hub.faults.tag = 70_000, tag
    [file] = ask.fetch_url(hub.file_url("tiny.gguf")).files
    assert file.read_bytes() == TINY
    assert [one.span for one in hub.requests] == ["", ""]


@pytest.mark.parametrize(
    ("faults", "sha256", "code", "words"),
    [
        ({}, "0" * 64, "wrong", f"has the SHA-256 {TINY_SHA256}, not 000"),
        ({"altered": True}, TINY_SHA256, "wrong", "nothing of it is kept"),
        ({"page": True}, "", "wrong", "that is a page, not a file"),
        ({"untold": True}, "", "failed", "does not say how long it is"),
        ({"loop": True}, "", "failed", "redirects in a circle"),
        ({"downgrade": True}, "", "failed", "which is not secured"),
        ({"error_times": 1, "error": 403}, "", "gated", "does not let you have"),
        ({"error_times": -1, "error": 502}, "", "busy", "answers with error 502"),
    ],
)
def test_what_is_no_such_model_is_told_and_does_not_stay(
    hub: ScriptedHub, ask: HubAsker, faults: dict[str, Any], sha256: str, code: str, words: str
) -> None:
    hub.put("tiny.gguf", TINY)
    for name, value in faults.items():
        setattr(hub.faults, name, value)
    error = ask.fetch_url(hub.file_url("tiny.gguf"), sha256).failure
    assert (error["code"], words in error["message"], bool(error["hint"])) == (code, True, True)
    assert "tiny.gguf" not in kept(ask)


def test_what_is_not_there_and_what_is_no_gguf_file_is_told(hub: ScriptedHub, ask: HubAsker) -> None:
    hub.put("zip.gguf", b"PK" * 100)
    error = ask.fetch_url(hub.file_url("other.gguf")).failure
    assert (error["code"], error["message"]) == ("not_found", f"there is no {hub.file_url('other.gguf')}")
    error = ask.fetch_url(hub.file_url("zip.gguf")).failure
    assert (error["code"], error["message"]) == ("wrong", f"{hub.file_url('zip.gguf')} is no GGUF file")


def test_http_needs_a_hash_and_is_then_as_good(hub: ScriptedHub, ask: HubAsker) -> None:
    hub.put("tiny.gguf", TINY)
    url = hub.file_url("tiny.gguf", secure=False)
    assert [one.read_bytes() for one in ask.fetch_url(url, TINY_SHA256).files] == [TINY]
    assert "not secured" in ask.fetch_url(url).failure["message"]
    split = hub.file_url("t-00001-of-00002.gguf", secure=False)
    assert "one hash covers but one part" in ask.fetch_url(split, TINY_SHA256).failure["message"]


@pytest.mark.parametrize(
    "url",
    ["ftp://host/a.gguf", "https:///a.gguf", "https://host/a.zip", "https://host/.gguf", "https://[::1/a"],
)
def test_what_is_no_address_of_a_model_is_refused_unasked(tmp_path: Path, url: str) -> None:
    progress = ProgressLines(lambda line: None)
    with pytest.raises(HubError) as caught:
        fetch_url({"do": "fetch_url", "url": url, "sha256": "", "folder": str(tmp_path)}, progress)
    assert (caught.value.code, bool(caught.value.hint)) == ("failed", True)


def test_a_secret_in_an_address_is_not_shown(hub: ScriptedHub, ask: HubAsker) -> None:
    url = hub.file_url("other.gguf").replace("https://", "https://user:secret@") + "?key=secret"
    asked = ask.fetch_url(url)
    assert "secret" not in str(asked.failure) + str(asked.progress)


def test_the_first_bytes_of_an_address_come_alone(hub: ScriptedHub, ask: HubAsker) -> None:
    hub.put("tiny.gguf", TINY)
    asked, data = ask.header(50_000, url=hub.file_url("tiny.gguf"))
    assert (asked.result, data) == ({"size": 200_000}, TINY[:50_000])
    asked, _ = ask.header(50_000, url=hub.file_url("other.gguf"))
    assert asked.failure["code"] == "not_found"


def test_the_parts_of_a_model_are_told_by_the_name_of_any() -> None:
    asked = urlsplit("https://host/m/a-00002-of-00002.gguf?x=1")
    assert part_urls(asked) == [
        "https://host/m/a-00001-of-00002.gguf?x=1",
        "https://host/m/a-00002-of-00002.gguf?x=1",
    ]
    assert part_urls(urlsplit("https://host/a.gguf")) == ["https://host/a.gguf"]
    for wrong in ("a-00003-of-00002.gguf", "a-00000-of-00002.gguf", "a-00001-of-99999.gguf"):
        with pytest.raises(HubError):
            part_urls(urlsplit(f"https://host/{wrong}"))
