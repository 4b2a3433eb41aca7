"""A model from any address: one file, or all parts of a split one, with resuming and its hash."""

import hashlib
import json
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from mesh.hub.downloader import hub_library
from mesh.hub.downloader.disk_room import DiskRoom, unusable
from mesh.hub.downloader.hub_downloads import PARTIAL, begin, refuse_page
from mesh.hub.downloader.persistence import Persistence
from mesh.hub.downloader.progress_lines import ProgressLines
from mesh.hub.downloader.receiving import BodyHead, Span, http_client, receive
from mesh.hub.downloader.refusals import Broken, HttpRefusal, shown
from mesh.hub.hub_lines import FetchResult, FetchUrlRequest, HeaderRequest, HeaderResult, HubError

MOST_PARTS: Final = 999
MAGIC: Final = b"GGUF"
WAY_OUT: Final = "make room there"
_PART: Final = re.compile(r"-(\d{5})-of-(\d{5})(\.gguf)$", re.IGNORECASE)
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_FOLDER: Final = "url-"

T = TypeVar("T")


def header_of_url(request: HeaderRequest, progress: ProgressLines) -> HeaderResult:
    """The first bytes of a file of any address. Raises HubError."""
    url = request["url"]
    persistence = _persistence(request.get("pace", 1.0), url, progress, reached=False)

    def attempt() -> HeaderResult:
        return HeaderResult(size=_told_size(begin(url, {}, request, progress), url))

    return _tried(persistence, url, attempt)


def fetch_url(request: FetchUrlRequest, progress: ProgressLines) -> FetchResult:
    """Raises HubError."""
    fetching = UrlFetch(request, progress)
    try:
        return FetchResult(files=[str(one) for one in fetching.run()])
    except OSError as error:
        raise unusable(Path(request["folder"]), error, "") from error


class UrlFetch:
    """One request: the parts one after another, each until it is whole."""

    def __init__(self, request: FetchUrlRequest, progress: ProgressLines) -> None:
        self._url = request["url"]
        self._sha256 = request["sha256"].lower()
        parts = _checked(self._url, self._sha256)
        self._urls = part_urls(parts)
        # The query may be a signature, another one each time.
        known_as = urlunsplit((parts.scheme, parts.netloc, _PART.sub(r"\3", parts.path), "", ""))
        digest = hashlib.sha256(known_as.encode()).hexdigest()[:16]
        self._folder = Path(request["folder"]).absolute() / f"{_FOLDER}{digest}"
        self._progress = progress
        self._pace = request.get("pace", 1.0)
        self._room = DiskRoom(self._folder, WAY_OUT)
        self._place = 0
        self._expected: set[str] = set()

    def run(self) -> list[Path]:
        """Raises HubError, OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with hub_library.lock(self._folder / ".lock", self._progress.tell):
            files = [self._whole(url) for url in self._urls]
        self._progress.end()
        return files

    def _whole(self, url: str) -> Path:
        whole = self._folder / _file_name(urlsplit(url))
        asked = self._sha256 if url == self._url else ""
        if whole.exists():
            self._progress.expect(whole.stat().st_size)
            self._progress.place(whole.name, whole.stat().st_size)
            if not asked or self._hash(whole) == asked:
                return whole
            whole.unlink()
        partial = whole.with_name(f"{whole.name}.{PARTIAL}")
        self._place = 0
        reached = url != self._urls[0] or (partial.exists() and partial.stat().st_size > 0)
        persistence = _persistence(self._pace, url, self._progress, reached)
        _tried(persistence, url, lambda: self._attempt(url, partial), lambda: self._place)
        self._check(url, partial, asked)
        os.replace(partial, whole)
        _version(partial).unlink(missing_ok=True)
        return whole

    def _attempt(self, url: str, partial: Path) -> None:
        name = partial.name.removesuffix(f".{PARTIAL}")

        def accept(head: BodyHead) -> None:
            refuse_page(head)
            size = _told_size(head, url)
            if name not in self._expected:
                self._expected.add(name)
                self._progress.expect(size)
                self._room.check(size - head.start)
            if head.start == 0 or head.validator != known:
                _version(partial).write_text(json.dumps(head.validator), encoding="utf-8")

        def on_place(place: int) -> None:
            self._place = place
            self._progress.place(name, place)
            self._room.look(place)

        known = _known_version(partial)
        with partial.open("ab") as made:
            start = made.tell() if known else 0
        with http_client() as client, partial.open("r+b") as out:
            receive(client, url, {}, Span(start, None, known), out, accept, on_place)
            os.fsync(out.fileno())

    def _check(self, url: str, partial: Path, asked: str) -> None:
        """Whether that is what it should be; what is not goes. Raises HubError."""
        with partial.open("rb") as file:
            is_model = file.read(len(MAGIC)) == MAGIC
        if not is_model:
            _remove(partial)
            raise HubError("wrong", f"{shown(url)} is no GGUF file", "look at the address in a browser")
        if asked and (found := self._hash(partial)) != asked:
            _remove(partial)
            raise HubError(
                "wrong",
                f"{shown(url)} has the SHA-256 {found}, not {asked}: nothing of it is kept",
                "ask where the hash comes from whether the file was replaced",
            )

    def _hash(self, file: Path) -> str:
        self._progress.tell(f"checks {file.name.removesuffix(f'.{PARTIAL}')}")
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()


def _told_size(head: BodyHead, url: str) -> int:
    """The file's size. Raises HubError where nobody tells it: such a body might fill the disk."""
    if head.size is None:
        raise HubError("failed", f"{shown(url)} does not say how long it is", "download it by other means")
    return head.size


def part_urls(parts: SplitResult) -> list[str]:
    """The addresses of all parts of a split model, in order; of one that is not split, its own."""
    split = _PART.search(parts.path)
    if not split:
        return [urlunsplit(parts)]
    count = int(split[2])
    if not 1 <= int(split[1]) <= count <= MOST_PARTS:
        raise HubError("failed", f"{split[0]} names no part of a model", "look at the address")
    stem = parts.path[: split.start()]
    return [
        urlunsplit(parts._replace(path=f"{stem}-{number:05}-of-{split[2]}{split[3]}"))
        for number in range(1, count + 1)
    ]


def _checked(url: str, sha256: str) -> SplitResult:
    """The address in parts. Raises HubError for what is none, or none that can be trusted."""
    try:
        parts = urlsplit(url)._replace(fragment="")
        host = parts.hostname
    except ValueError:
        host = None
    if not host or parts.scheme not in ("https", "http"):
        raise HubError("failed", f"{shown(url)} is no address of https", "such as https://HOST/MODEL.gguf")
    if sha256 and not _SHA256.fullmatch(sha256):
        raise HubError("failed", f"{sha256!r} is no SHA-256", "it has 64 hexadecimal digits")
    if not _file_name(parts).lower().endswith(".gguf"):
        raise HubError("failed", f"{shown(url)} does not end with .gguf", "name the file of a model")
    if parts.scheme == "http" and not sha256:
        raise HubError(
            "failed",
            f"{shown(url)} is not secured, so anybody on the way may change what comes",
            "use https, or add #sha256=HASH",
        )
    if parts.scheme == "http" and _PART.search(parts.path):
        message = f"{shown(url)} is not secured, and one hash covers but one part of it"
        raise HubError("failed", message, "use https")
    return parts


def _file_name(parts: SplitResult) -> str:
    name = unquote(parts.path.rpartition("/")[2])
    if not name.isprintable() or "/" in name or "\\" in name or name.startswith(".") or len(name) > 200:
        raise HubError("failed", f"{parts.path[-80:]!r} ends with no name of a file", "look at the address")
    return name


def _persistence(pace: float, url: str, progress: ProgressLines, reached: bool) -> Persistence:
    server = urlsplit(url).hostname or "the server"
    return Persistence(progress.tell, pace, server=server, reached=reached)


def _tried(
    persistence: Persistence, url: str, attempt: Callable[[], T], place: Callable[[], int] = lambda: 0
) -> T:
    try:
        return persistence.run(attempt, place)
    except Broken as error:
        message = f"{shown(url)} cannot be had: {error}"
        hint = "look at the address and at this machine's network; what came stays"
        raise HubError("offline", message, hint) from error
    except HttpRefusal as error:
        raise _explained(error, url) from error


def _explained(error: HttpRefusal, url: str) -> HubError:
    if error.status in (404, 410):
        return HubError("not_found", f"there is no {shown(url)}", "look at the address in a browser")
    if error.status in (401, 403):
        hint = "it wants a login, or an address with a signature that has not expired"
        return HubError("gated", f"the server does not let you have {shown(url)}", hint)
    if error.passing:
        return HubError(
            "busy", f"{shown(url)}: the server answers with error {error.status}", "try again later"
        )
    return HubError(
        "failed", f"{shown(url)}: the server answers with error {error.status}", "look at the address"
    )


def _version(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.version")


def _known_version(partial: Path) -> str:
    """What its server called the version that a part is there of; empty: unknown."""
    with suppress(OSError, ValueError):
        known = json.loads(_version(partial).read_text(encoding="utf-8"))
        return known if isinstance(known, str) else ""
    return ""


def _remove(partial: Path) -> None:
    partial.unlink(missing_ok=True)
    _version(partial).unlink(missing_ok=True)
