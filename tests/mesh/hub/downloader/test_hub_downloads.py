"""Files of the hub into its cache, through every fault of the hub made for tests."""

import hashlib
import os
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.lab.hub import ScriptedHub
from tests.mesh.hub.hub_asker import SECONDS, HubAsker, entry, model
from tests.waiting import until

REPO = "ann/tiny-GGUF"
TINY = model(200_000)
PARTS = {f"deep/tiny-F16-0000{part}-of-00002.gguf": model(90_000, part) for part in (1, 2)}


@pytest.mark.parametrize("cdn", ["port", "path", ""])
def test_files_land_where_the_library_looks_for_them(hub: ScriptedHub, ask: HubAsker, cdn: str) -> None:
    hub.cdn = cdn
    commit = hub.add(REPO, PARTS).commit
    asked = ask.fetch(REPO)
    snapshot = ask.cache / "models--ann--tiny-GGUF" / "snapshots" / commit
    assert asked.files == [snapshot / path for path in PARTS]
    assert [one.read_bytes() for one in asked.files] == list(PARTS.values())
    assert {one.resolve().parent.name for one in asked.files} == {"blobs"}
    assert ask.left() == sorted(hashlib.sha256(data).hexdigest() for data in PARTS.values())
    assert asked.progress[-1] == {**asked.progress[-1], "done": 180_000, "total": 180_000}
    assert asked.stderr == ""


def test_what_is_there_already_is_asked_of_nobody(hub: ScriptedHub, ask: HubAsker) -> None:
    hub.add(REPO, PARTS)
    files = ask.fetch(REPO).files
    hub.requests.clear()
    again = ask.fetch(REPO)
    assert again.files == files
    assert hub.requests == []
    assert again.progress[-1]["done"] == again.progress[-1]["total"] == 180_000


@pytest.mark.parametrize(
    ("faults", "spans"),
    [
        (
            {"cut_after": 70_000, "cut_times": 2},
            ["bytes=0-199999", "bytes=70000-199999", "bytes=140000-199999"],
        ),
        ({"cut_after": 70_000, "no_ranges": True}, ["bytes=0-199999", "bytes=70000-199999"]),
        ({"busy_times": 2, "at": "/cdn/"}, ["bytes=0-199999"] * 3),
        ({"busy_times": 2, "retry_after": "", "at": "/resolve/"}, ["bytes=0-199999"]),
        ({"error_times": 3, "at": "/cdn/"}, ["bytes=0-199999"] * 4),
        ({"error_times": 3, "error": 500, "at": "/resolve/"}, ["bytes=0-199999"]),
    ],
)
def test_a_download_goes_on_after_what_passes(
    hub: ScriptedHub, ask: HubAsker, faults: dict[str, Any], spans: list[str]
) -> None:
    hub.add(REPO, {"tiny.gguf": TINY})
    for name, value in faults.items():
        setattr(hub.faults, name, value)
    asked = ask.fetch(REPO)
    assert [one.read_bytes() for one in asked.files] == [TINY]
    assert [one.span for one in hub.bodies()] == spans


@pytest.mark.parametrize(
    ("faults", "code"),
    [
        ({"cut_after": 70_000, "cut_times": -1, "no_ranges": True}, "offline"),
        ({"error_times": -1, "at": "/cdn/"}, "busy"),
        ({"linked_longer": 5}, "wrong"),
        ({"body_longer": 5}, "wrong"),
        ({"body_longer": -5}, "wrong"),
        ({"page": True}, "wrong"),
        ({"loop": True}, "failed"),
    ],
)
def test_what_does_not_pass_ends_in_a_sentence_and_is_no_file_of_the_cache(
    hub: ScriptedHub, ask: HubAsker, faults: dict[str, Any], code: str
) -> None:
    hub.add(REPO, {"tiny.gguf": TINY})
    for name, value in faults.items():
        setattr(hub.faults, name, value)
    error = ask.fetch(REPO).failure
    assert error["code"] == code
    assert error["hint"]
    assert "\n" not in error["message"]
    assert not [*ask.cache.glob("models--*/snapshots/*/*")]
    assert [name for name in ask.left() if not name.endswith(".incomplete")] == []


def test_a_listing_that_lies_about_the_size_is_found_out(hub: ScriptedHub, ask: HubAsker) -> None:
    hub.add(REPO, {"tiny.gguf": TINY})
    error = ask.fetch(REPO, entry("tiny.gguf", TINY, longer=7)).failure
    assert error["message"] == "tiny.gguf should have 200007 bytes, the hub now says 200000"
    lying = {**entry("tiny.gguf", TINY), "sha256": "0" * 64}
    assert "two different hashes" in ask.fetch(REPO, lying).failure["message"]  # type: ignore[arg-type]
    assert hub.bodies() == []


def test_a_file_of_another_length_in_the_cache_is_downloaded_again(hub: ScriptedHub, ask: HubAsker) -> None:
    hub.add(REPO, {"tiny.gguf": TINY})
    [file] = ask.fetch(REPO).files
    file.resolve().write_bytes(TINY[:-1])
    assert [one.read_bytes() for one in ask.fetch(REPO).files] == [TINY]


async def test_another_process_goes_on_where_one_was_ended(hub: ScriptedHub, ask: HubAsker) -> None:
    hub.add(REPO, {"tiny.gguf": TINY})
    hub.faults.hold = threading.Event()
    with ask.start(ask.fetching(REPO)) as process:
        partials = partial(ask.cache.glob, "models--*/blobs/*.incomplete")
        await until(lambda: any(one.stat().st_size for one in partials()))
        process.terminate()
        process.wait(SECONDS)
    hub.faults.hold.set()
    begun = len(hub.bodies())
    [there] = [one.stat().st_size for one in partials()]
    asked = ask.fetch(REPO)
    assert asked.progress[0]["done"] == there > 0
    assert [one.span for one in hub.bodies()[begun:]] == [f"bytes={there}-199999"]
    assert [one.read_bytes() for one in asked.files] == [TINY]
    assert ask.left() == [hashlib.sha256(TINY).hexdigest()]


def test_a_gated_repository_says_where_to_agree_and_how_to_log_in(hub: ScriptedHub, ask: HubAsker) -> None:
    hub.add(REPO, {"tiny.gguf": TINY}, gated=True, token="hf_right")
    error = ask.fetch(REPO).failure
    assert (error["code"], "is gated: its owner" in error["message"]) == ("gated", True)
    assert error["hint"] == f"agree to its terms on {hub.url}/{REPO}, then `hf auth login` or HF_TOKEN"
    ask.token = "hf_other"
    error = ask.fetch(REPO).failure
    assert (error["code"], "refuses your token" in error["message"]) == ("gated", True)
    ask.token = "hf_right"
    assert ask.header(10, repo=REPO, path="tiny.gguf")[1] == TINY[:10]
    hub.requests.clear()
    assert ask.fetch(REPO, token=False).failure["code"] == "gated"
    assert hub.tokens() == set()


def test_the_token_reaches_the_hub_and_not_where_its_files_lie(hub: ScriptedHub, ask: HubAsker) -> None:
    hub.add(REPO, {"tiny.gguf": TINY}, gated=True, token="hf_right")
    ask.token = "hf_right"
    assert [one.read_bytes() for one in ask.fetch(REPO).files] == [TINY]
    assert {one.authorization for one in hub.requests if one.server == "hub"} == {"Bearer hf_right"}
    assert {one.authorization for one in hub.requests if one.server == "cdn"} == {""}


def test_a_model_larger_than_the_disk_is_refused_before_a_byte_comes(hub: ScriptedHub, ask: HubAsker) -> None:
    hub.add(REPO, {"tiny.gguf": TINY})
    error = ask.fetch(REPO, {**entry("tiny.gguf", TINY), "size": 1 << 60}).failure
    assert (error["code"], "HF_HOME" in error["hint"]) == ("disk", True)
    assert " too little" in error["message"]
    assert hub.requests == []


def test_a_cache_that_cannot_be_written_to_is_named(hub: ScriptedHub, ask: HubAsker, tmp_path: Path) -> None:
    hub.add(REPO, {"tiny.gguf": TINY})
    file = tmp_path / "file"
    file.touch()
    ask.more = {"HF_HUB_CACHE": str(file / "hub")}
    error = ask.fetch(REPO).failure
    assert error["code"] == "failed"
    assert error["message"].startswith(f"nothing can be written to {file}")
    assert "HF_HOME" in error["hint"]


def test_a_disk_without_symbolic_links_holds_each_file_once(hub: ScriptedHub, ask: HubAsker) -> None:
    hub.add(REPO, {"tiny.gguf": TINY})
    ask.more = {"HF_HUB_DISABLE_SYMLINKS": "1"}
    hub.faults.cut_after = 70_000
    [file] = ask.fetch(REPO).files
    assert (file.is_symlink(), file.read_bytes(), ask.left()) == (False, TINY, [])
    hub.requests.clear()
    assert ask.fetch(REPO).files == [file]
    assert hub.requests == []


def test_paths_that_lead_out_of_the_cache_are_refused(hub: ScriptedHub, ask: HubAsker) -> None:
    hub.add(REPO, {"tiny.gguf": TINY})
    error = ask.fetch(REPO, entry("../../../../tiny.gguf", TINY)).failure
    assert (error["code"], error["message"]) == ("wrong", "'../../../../tiny.gguf' is no path of a file")
    assert ask(**{**ask.fetching(REPO), "commit": "main"}).failure["message"] == "'main' is no commit"


def test_a_lost_network_is_told_and_the_part_stays(hub: ScriptedHub, ask: HubAsker) -> None:
    hub.add(REPO, {"tiny.gguf": TINY})
    request = ask.fetching(REPO)
    ask.more = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    error = ask(**request).failure
    assert (error["code"], "cannot be reached" in error["message"]) == ("offline", True)


@pytest.mark.parametrize(("count", "faults"), [(100, {}), (10**9, {}), (100, {"no_ranges": True})])
def test_the_first_bytes_come_alone_with_the_size_of_all(
    hub: ScriptedHub, ask: HubAsker, count: int, faults: dict[str, Any]
) -> None:
    hub.add(REPO, {"tiny.gguf": TINY})
    for name, value in faults.items():
        setattr(hub.faults, name, value)
    asked, data = ask.header(count, repo=REPO, path="tiny.gguf", revision="main")
    assert (asked.result, data) == ({"size": 200_000}, TINY[:count])


def test_the_first_bytes_of_what_is_not_there_are_an_error(hub: ScriptedHub, ask: HubAsker) -> None:
    hub.add(REPO, {"tiny.gguf": TINY})
    asked, _ = ask.header(10, repo=REPO, path="other.gguf")
    assert (asked.failure["code"], asked.failure["message"]) == ("not_found", f"{REPO} has no such file")


def test_pieces_of_the_library_that_are_open_go_when_the_process_ends(tmp_path: Path) -> None:
    from mesh.hub.downloader.hub_downloads import remove_open_pieces

    blobs = tmp_path / "blobs"
    blobs.mkdir()
    names = ("abc.0123abcd.incomplete", "abc.incomplete", "left.0123abcd.incomplete")
    for name in names:
        (blobs / name).touch()
    with (blobs / names[0]).open("ab"), (blobs / names[1]).open("ab"):
        remove_open_pieces()
    assert sorted(os.listdir(blobs)) == sorted(names[1:])
