import os
from pathlib import Path

import httpx
import pytest
import trio

from mesh.engine.engine_errors import CorruptDownload, EngineError
from mesh.engine.install.package_index import (
    IndexFile,
    download,
    index_url,
    list_files,
    open_client,
    parse_page,
    without_credentials,
)
from mesh.engine.process.rpc_port import free_port
from tests.mesh.engine.install.fake_index import FakeIndex, sha256

DATA = bytes(range(256)) * 20_000


async def fetch(index: FakeIndex, target: Path, seen: list[int] | None = None) -> None:
    with trio.fail_after(20):
        async with open_client({}) as client:
            (file,) = await list_files(client, index.url, "thing")
            await download(
                client, file, target, lambda done, total: None if seen is None else seen.append(done)
            )


@pytest.fixture(autouse=True)
def thing(index: FakeIndex) -> None:
    index.files["thing"] = {"thing-1.tar.gz": DATA}


@pytest.mark.parametrize("html", [False, True], ids=["json", "html"])
async def test_a_file_is_fetched_checked_and_counted(index: FakeIndex, tmp_path: Path, html: bool) -> None:
    index.html = html
    seen = [0]
    await fetch(index, tmp_path / "deep" / "x", seen)
    assert (tmp_path / "deep" / "x").read_bytes() == DATA
    assert seen == sorted(seen)
    assert seen[-1] == len(DATA)
    assert os.listdir(tmp_path / "deep") == ["x"]


async def test_a_connection_that_breaks_is_taken_up_where_it_broke(index: FakeIndex, tmp_path: Path) -> None:
    index.cut_after = 2_000_000
    await fetch(index, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == DATA
    (_, first), (_, second) = index.requests
    assert first is None
    assert second is not None
    assert 0 < int(second.removeprefix("bytes=").rstrip("-")) <= 2_000_000


async def test_a_cancelled_download_goes_on_in_the_next_call(index: FakeIndex, tmp_path: Path) -> None:
    (tmp_path / "x.part").write_bytes(DATA[:1_000_000])
    await fetch(index, tmp_path / "x")
    assert index.requests == [("/files/thing/thing-1.tar.gz", "bytes=1000000-")]
    assert (tmp_path / "x").read_bytes() == DATA


async def test_a_server_without_ranges_is_read_from_the_start(index: FakeIndex, tmp_path: Path) -> None:
    index.ranges = False
    (tmp_path / "x.part").write_bytes(DATA[:1_000_000])
    await fetch(index, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == DATA


@pytest.mark.parametrize("part", [b"something else", DATA[::-1], DATA + b"more"])
async def test_a_wrong_part_is_thrown_away(index: FakeIndex, tmp_path: Path, part: bytes) -> None:
    (tmp_path / "x.part").write_bytes(part)
    await fetch(index, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == DATA


async def test_a_corrupted_download_is_refused_and_not_kept(index: FakeIndex, tmp_path: Path) -> None:
    async with open_client({}) as client:
        (file,) = await list_files(client, index.url, "thing")
        index.corrupt = True
        with pytest.raises(CorruptDownload, match="SHA-256") as caught:
            await download(client, file, tmp_path / "x", lambda done, total: None)
    assert str(tmp_path / "x") in caught.value.hint
    assert not os.listdir(tmp_path)


async def test_a_file_longer_than_announced_is_refused_before_it_fills_the_disk(
    index: FakeIndex, tmp_path: Path
) -> None:
    file = IndexFile("x", index.url.replace("/simple", "/files/thing/thing-1.tar.gz"), sha256(b"x"), 1000)
    async with open_client({}) as client:
        with pytest.raises(CorruptDownload):
            await download(client, file, tmp_path / "x", lambda done, total: None)


async def test_a_closed_port_is_an_error_that_names_the_proxy_and_the_index() -> None:
    url = f"http://user:secret@127.0.0.1:{free_port()}/simple"
    async with open_client({}) as client:
        with pytest.raises(EngineError) as caught:
            await list_files(client, url, "thing")
    assert "HTTPS_PROXY" in caught.value.hint
    assert "PIP_INDEX_URL" in caught.value.hint
    assert "secret" not in str(caught.value)


async def test_a_project_that_is_not_there_is_said(index: FakeIndex) -> None:
    async with open_client({}) as client:
        with pytest.raises(EngineError, match="answered 404"):
            await list_files(client, index.url, "nothing")


async def test_a_server_that_never_answers_whole_is_given_up(
    index: FakeIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_pause(seconds: float) -> None:
        await trio.lowlevel.checkpoint()

    monkeypatch.setattr("mesh.engine.install.package_index.trio.sleep", no_pause)
    file = IndexFile("x", f"http://127.0.0.1:{free_port()}/x", "0" * 64, 10)
    async with open_client({}) as client:
        with pytest.raises(EngineError, match="cannot be reached"):
            await download(client, file, tmp_path / "x", lambda done, total: None)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"files": [1]}', b'{"files": [{"filename": "x"}]}'])
def test_a_page_that_is_none_is_an_error(body: bytes) -> None:
    with pytest.raises(EngineError, match="no page of a package index"):
        parse_page("application/json", body, "http://x/simple/y/")


def test_relative_links_and_files_without_a_checksum() -> None:
    html = b'<a href="../f/a-1.tar.gz#sha256=aa">a</a><a href="b-1.tar.gz">b</a><a>c</a>'
    assert parse_page("text/html", html, "http://x/simple/y/") == [
        IndexFile("a-1.tar.gz", "http://x/simple/f/a-1.tar.gz", "aa")
    ]


def test_the_index_is_the_one_that_the_machine_is_set_up_for() -> None:
    assert index_url({}) == "https://pypi.org/simple"
    assert index_url({"PIP_INDEX_URL": "http://a/simple/", "UV_INDEX_URL": "http://b"}) == "http://a/simple"
    assert index_url({"UV_DEFAULT_INDEX": "http://c", "UV_INDEX_URL": "http://b"}) == "http://c"


def test_credentials_are_not_shown() -> None:
    assert without_credentials("https://u:p@host:1/simple/x?token=1") == "https://host:1/simple/x"


async def test_certificates_named_by_the_environment_may_be_missing(tmp_path: Path) -> None:
    async with open_client({"PIP_CERT": str(tmp_path / "none.pem"), "SSL_CERT_FILE": ""}) as client:
        assert isinstance(client, httpx.AsyncClient)
