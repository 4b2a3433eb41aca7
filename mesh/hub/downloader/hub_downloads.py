"""Files of the hub: the beginning of one, or all of some into the hub's cache.

The library begins anew after each end of its process. So bytes over HTTP are received here, into a file
that the next try goes on with, under the library's lock; then they stand where the library finds them.
"""

import hashlib
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from mesh.hub.downloader import explanations, hub_library
from mesh.hub.downloader.description import COMMIT
from mesh.hub.downloader.disk_room import DiskRoom, unusable
from mesh.hub.downloader.hub_library import HubBlob, Token
from mesh.hub.downloader.persistence import Persistence
from mesh.hub.downloader.progress_lines import ProgressLines
from mesh.hub.downloader.receiving import BodyHead, Span, http_client, receive
from mesh.hub.downloader.refusals import Broken, HttpRefusal
from mesh.hub.forgetting import forget
from mesh.hub.hub_lines import FetchRequest, FetchResult, FileEntry, HeaderRequest, HeaderResult, HubError

WAY_OUT: Final = "HF_HOME names another folder for the hub's cache"
PARTIAL: Final = "incomplete"


def header(request: HeaderRequest, progress: ProgressLines) -> HeaderResult:
    """The first bytes of a file of the hub. Raises HubError."""
    repo, path, revision = request["repo"], request["path"], request.get("revision", "")
    _check_path(path)
    persistence = Persistence(progress.tell, request.get("pace", 1.0))

    def attempt() -> HeaderResult:
        url = hub_library.url_of(repo, revision, path)
        head = begin(url, hub_library.headers(None), request, progress)
        size = head.size or hub_library.blob_of(repo, revision, path, None).size
        if size is None:
            raise HubError("failed", f"the hub does not say how long {path} is", "try again later")
        return HeaderResult(size=size)

    try:
        return persistence.run(attempt)
    except Broken as error:
        raise explanations.unreachable(hub_library.endpoint(), error) from error
    except HttpRefusal as error:
        raise explanations.refused(error, repo, hub_library.endpoint(), hub_library.has_token()) from error


def begin(url: str, headers: dict[str, str], request: HeaderRequest, progress: ProgressLines) -> BodyHead:
    """Write what `request` wants of the file's beginning. Raises Broken, HttpRefusal, HubError."""
    into = Path(request["into"])
    try:
        with http_client() as client, into.open("wb") as out:
            span = Span(stop=max(1, request["bytes"]))
            return receive(
                client, url, headers, span, out, refuse_page, lambda at: progress.place(into.name, at)
            )
    except OSError as error:
        raise unusable(into, error, "") from error


def refuse_page(head: BodyHead) -> None:
    if head.is_page:
        raise HubError(
            "wrong",
            "that is a page, not a file",
            "copy the address of the download itself; on the hub it has /resolve/ where the page has /blob/",
        )


def fetch(request: FetchRequest, progress: ProgressLines) -> FetchResult:
    """All files into the cache, unless they are there. Raises HubError."""
    fetching = CacheFetch(request, progress)
    try:
        return FetchResult(files=[str(one) for one in fetching.run()])
    except OSError as error:
        raise unusable(hub_library.cache(), error, WAY_OUT) from error


class CacheFetch:
    """One request: its files one after another, each until it is whole."""

    def __init__(self, request: FetchRequest, progress: ProgressLines) -> None:
        self._repo = request["repo"]
        self._commit = request["commit"]
        self._files = request["files"]
        self._token: Token = None if request["token"] else False
        self._progress = progress
        self._persistence = Persistence(progress.tell, request.get("pace", 1.0))
        self._room = DiskRoom(hub_library.cache(), WAY_OUT)
        self._places: dict[str, int] = {}

    def run(self) -> list[Path]:
        """Raises HubError, OSError."""
        if not COMMIT.fullmatch(self._commit):
            raise HubError("failed", f"{self._commit!r} is no commit", "ask for the repository again")
        for file in self._files:
            _check_path(file["path"])
            self._places[file["path"]] = self._present(file)
        total = sum(file["size"] for file in self._files)
        self._progress.begin(total, self._places)
        self._room.check(max(0, total - sum(self._places.values())))
        files = [_checked(file, self._whole(file)) for file in self._files]
        self._progress.end()
        return files

    def _present(self, file: FileEntry) -> int:
        """Bytes of it that are there, whole or in part."""
        if (there := self._in_cache(file)) is not None:
            return there.stat().st_size
        blobs = hub_library.folder_of(self._repo) / "blobs"
        for name in (file["sha256"], f"{file['sha256']}.{PARTIAL}") if file["sha256"] else ():
            with suppress(FileNotFoundError):
                return min(file["size"], (blobs / name).stat().st_size)
        return 0

    def _in_cache(self, file: FileEntry) -> Path | None:
        """The file, if it is whole; what has another size goes."""
        pointer = hub_library.in_cache(self._repo, self._commit, file["path"])
        if pointer is not None and file["size"] and pointer.stat().st_size != file["size"]:
            if not forget(pointer):
                pointer.unlink()
            return None
        return pointer

    def _whole(self, file: FileEntry) -> Path:
        path, repo = file["path"], self._repo
        endpoint = hub_library.endpoint()
        try:
            return self._persistence.run(lambda: self._attempt(file), lambda: self._places[path])
        except Broken as error:
            raise explanations.unreachable(endpoint, error) from error
        except HttpRefusal as error:
            sent = self._token is None and hub_library.has_token()
            raise explanations.refused(error, repo, endpoint, sent) from error

    def _attempt(self, file: FileEntry) -> Path:
        path = file["path"]
        if (there := self._in_cache(file)) is not None:
            self._place(path, there.stat().st_size)
            return there
        blob = hub_library.blob_of(self._repo, self._commit, path, self._token)
        self._check_blob(file, blob)
        folder = hub_library.folder_of(self._repo)
        whole = folder / "blobs" / blob.tag
        pointer = folder / "snapshots" / self._commit / path
        whole.parent.mkdir(parents=True, exist_ok=True)
        pointer.parent.mkdir(parents=True, exist_ok=True)
        size = file["size"] or blob.size
        with hub_library.lock(hub_library.lock_of(self._repo, blob.tag), self._progress.tell):
            for left in hub_library.left_pieces(self._repo, blob.tag):
                left.unlink(missing_ok=True)
            if whole.exists() and size is not None and whole.stat().st_size != size:
                whole.unlink()
            if not blob.in_pieces and not whole.exists():
                self._receive(path, blob, size, whole)
            if whole.exists():
                _point(whole, pointer)
        if blob.in_pieces:
            hub_library.get_in_pieces(
                self._repo, self._commit, path, self._token, lambda place: self._place(path, place)
            )
        there = self._in_cache(file)
        if there is None:
            raise HubError("wrong", f"{path} is not as long as the hub says", "try again")
        self._place(path, there.stat().st_size)
        return there

    def _check_blob(self, file: FileEntry, blob: HubBlob) -> None:
        path = file["path"]
        if blob.commit != self._commit:
            raise HubError("wrong", f"the hub sends {path} of another commit", "try again later")
        if file["size"] and blob.size is not None and blob.size != file["size"]:
            message = f"{path} should have {file['size']} bytes, the hub now says {blob.size}"
            raise HubError("wrong", message, "try again later")
        if file["sha256"] and len(blob.tag) == len(file["sha256"]) and blob.tag != file["sha256"]:
            raise HubError("wrong", f"the hub tells two different hashes of {path}", "try again later")

    def _receive(self, path: str, blob: HubBlob, size: int | None, whole: Path) -> None:
        """The rest of the blob, by HTTP; what came stays for the next try. Raises as `receive` does."""
        partial = whole.with_name(f"{blob.tag}.{PARTIAL}")

        def accept(head: BodyHead) -> None:
            refuse_page(head)
            if size is not None and head.size is not None and head.size != size:
                partial.unlink(missing_ok=True)
                message = f"{path} should have {size} bytes, its server has {head.size}"
                raise HubError("wrong", message, "try again later; nothing of it is kept")

        def on_place(place: int) -> None:
            self._place(path, place)
            self._room.look(place)

        with partial.open("ab") as made:
            start = made.tell()
        if size is not None and start > size:
            start = 0
        with http_client() as client, partial.open("r+b") as out:
            if size is None or start < size:
                on_place(start)
                receive(client, blob.location, blob.headers, Span(start, size), out, accept, on_place)
            os.fsync(out.fileno())
        os.replace(partial, whole)

    def _place(self, path: str, place: int) -> None:
        self._places[path] = place
        self._progress.place(path, place)


def _checked(file: FileEntry, there: Path) -> Path:
    """The file, if its hash is right or nobody wants to know; a wrong one goes. Raises HubError, OSError."""
    if file.get("check") and file["sha256"]:
        with there.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256")
        if digest.hexdigest() != file["sha256"]:
            forget(there)
            message = f"{file['path']} is not the file that the hub tells of: its SHA-256 differs"
            raise HubError("wrong", message, "it was removed; the same command downloads it again")
    return there


def _point(whole: Path, pointer: Path) -> None:
    """Let the library find the blob as the file of its commit."""
    if not hub_library.has_symlinks():
        os.replace(whole, pointer)
        return
    made = pointer.with_name(f".{pointer.name}.{secrets.token_hex(4)}")
    os.symlink(hub_library.relative_pointer(pointer, whole), made)
    os.replace(made, pointer)


def _check_path(path: str) -> None:
    """Paths come from the hub: they must not lead out of its cache."""
    if (
        not path
        or path.startswith("/")
        or "\\" in path
        or any(one in ("", ".", "..") for one in path.split("/"))
    ):
        raise HubError("wrong", f"{path!r} is no path of a file", "look at the repository on the hub")


def remove_open_pieces() -> None:
    """What the library is writing right now, and would not go on with, goes before this process ends."""
    with suppress(psutil.Error, OSError):
        for opened in psutil.Process().open_files():
            file = Path(opened.path)
            if (
                file.name.count(".") == 2
                and file.name.endswith(f".{PARTIAL}")
                and file.parent.name == "blobs"
            ):
                file.unlink(missing_ok=True)
