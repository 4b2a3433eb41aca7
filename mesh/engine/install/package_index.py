"""A package index: which files a project has (PEP 503, 691), and resumable, checked downloads.

Only this module uses the environment's proxies and certificates: these are downloads from the world outside,
never traffic of the mesh.
"""

import hashlib
import os
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import certifi
import httpx
import trio

from mesh.engine.engine_errors import CorruptDownload, EngineError, NotFetched

PUBLIC_INDEX = "https://pypi.org/simple"
_ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.1"
_LARGEST_PAGE = 64 * 1024 * 1024
_ATTEMPTS = 4
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class IndexFile:
    """A file that an index offers; ``size`` is in bytes, None where the index does not say."""

    name: str
    url: str
    sha256: str
    size: int | None = None


def index_url(environ: Mapping[str, str] = os.environ) -> str:
    """The index that this machine is configured for: pip's or uv's variable, else the public one."""
    for variable in ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"):
        if environ.get(variable):
            return environ[variable].rstrip("/")
    return PUBLIC_INDEX


def without_credentials(url: str) -> str:
    """``url`` as it may be shown to people and written to logs."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


@asynccontextmanager
async def open_client(environ: Mapping[str, str] = os.environ) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client that trusts the system's certificates, those configured for pip, and certifi's."""
    context = ssl.create_default_context(cafile=certifi.where())
    context.load_default_certs()
    for variable in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT"):
        if environ.get(variable):
            with suppress(OSError):  # a folder, or a file that is gone
                context.load_verify_locations(cafile=environ[variable])
    timeout = httpx.Timeout(30.0, connect=10.0)
    async with httpx.AsyncClient(verify=context, timeout=timeout, follow_redirects=True) as client:
        yield client


async def list_files(client: httpx.AsyncClient, index: str, project: str) -> list[IndexFile]:
    """Every file of ``project`` that carries a SHA-256. Raises EngineError when there is no such page."""
    page = f"{index}/{project}/"
    try:
        async with client.stream("GET", page, headers={"Accept": _ACCEPT}) as response:
            response.raise_for_status()
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _LARGEST_PAGE:
                    raise EngineError(f"the package index's page {without_credentials(page)} is too long")
            kind = response.headers.get("content-type", "")
            return parse_page(kind, bytes(body), str(response.url))
    except httpx.HTTPError as error:
        raise unreachable(page, error) from error


def unreachable(url: str, error: httpx.HTTPError) -> EngineError:
    """The error for a person when the network does not let this program fetch ``url``."""
    if isinstance(error, httpx.HTTPStatusError):
        what = f"answered {error.response.status_code}"
    else:
        what = f"cannot be reached ({error or type(error).__name__})"
    return NotFetched(
        f"{without_credentials(url)} {what}",
        "check the network; behind a proxy set HTTPS_PROXY, for another package index set PIP_INDEX_URL",
    )


def parse_page(kind: str, body: bytes, base: str) -> list[IndexFile]:
    """The files with a SHA-256 on an index's project page, JSON (PEP 691) or HTML (PEP 503)."""
    if "json" in kind:
        return _parse_json(body, base)
    parser = _Anchors()
    parser.feed(body.decode(errors="replace"))
    files = []
    for link in parser.links:
        url, _, fragment = urljoin(base, link).partition("#")
        if fragment.startswith("sha256="):
            files.append(IndexFile(urlsplit(url).path.rpartition("/")[2], url, fragment[len("sha256=") :]))
    return files


def _parse_json(body: bytes, base: str) -> list[IndexFile]:
    import json

    try:
        return [
            IndexFile(
                item["filename"], urljoin(base, item["url"]), item["hashes"]["sha256"], item.get("size")
            )
            for item in json.loads(body)["files"]
            if "sha256" in item["hashes"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise EngineError(f"{without_credentials(base)} is no page of a package index") from error


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.links += [value for name, value in attrs if name == "href" and value]


async def download(
    client: httpx.AsyncClient, file: IndexFile, target: Path, report: Callable[[int, int | None], None]
) -> None:
    """Fetch ``file`` to ``target``; a second call continues an interrupted attempt.

    ``report`` gets the bytes done and in all.

    ``target`` appears only when its SHA-256 is right. Raises CorruptDownload when it is wrong (after a second
    try if a resumed part may be to blame), and EngineError when the network or the disk fails.
    """
    partial = target.with_name(target.name + ".part")
    target.parent.mkdir(parents=True, exist_ok=True)
    for last in (False, True):
        resumed = partial.exists()
        await _fetch_with_retries(client, file, partial, report)
        if await trio.to_thread.run_sync(sha256_of, partial) == file.sha256:
            partial.replace(target)
            return
        partial.unlink()
        if last or not resumed:
            break
    raise CorruptDownload(
        f"{file.name} from {without_credentials(file.url)} is not what was asked for: its SHA-256 differs",
        f"something on the way changes downloads; fetch the file by another way and put it at {target}",
    )


async def _fetch_with_retries(
    client: httpx.AsyncClient, file: IndexFile, partial: Path, report: Callable[[int, int | None], None]
) -> None:
    for attempt in range(_ATTEMPTS):
        try:
            await _fetch_rest(client, file, partial, report)
            return
        except httpx.HTTPError as error:
            permanent = isinstance(error, httpx.HTTPStatusError) and error.response.status_code < 500
            if permanent or attempt == _ATTEMPTS - 1:
                raise unreachable(file.url, error) from error
            await trio.sleep(0.25 * 2**attempt)


async def _fetch_rest(
    client: httpx.AsyncClient, file: IndexFile, partial: Path, report: Callable[[int, int | None], None]
) -> None:
    done = _size(partial)
    if file.size is not None and done == file.size:
        return
    headers = (
        {"Range": f"bytes={done}-", "Accept-Encoding": "identity"}
        if done
        else {"Accept-Encoding": "identity"}
    )
    async with client.stream("GET", file.url, headers=headers) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # nothing is left to fetch, or the part is wrong: then its checksum fails
        response.raise_for_status()
        if response.status_code != httpx.codes.PARTIAL_CONTENT:
            done = 0
        announced = response.headers.get("content-length", "")
        if file.size is not None and announced.isdigit() and done + int(announced) > file.size:
            raise CorruptDownload(f"{file.name} is longer than it should be", "try another index")
        with partial.open("r+b" if done else "wb") as output:
            output.seek(done)
            async for chunk in response.aiter_bytes(_CHUNK):
                done += len(chunk)
                if file.size is not None and done > file.size:
                    return
                output.write(chunk)
                output.flush()
                report(done, file.size)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def sha256_of(path: Path) -> str:
    """The file's SHA-256 as hexadecimal text."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
