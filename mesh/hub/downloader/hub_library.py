"""The hub's library, as the rest of the process needs it: with its cache, token, endpoint, proxies.

It alone imports the library. Its errors become those of `mesh.hub.downloader.refusals`.
"""

import importlib.util
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

import filelock
import httpx2
import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.errors import (
    FileMetadataError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
)
from huggingface_hub.file_download import are_symlinks_supported, repo_folder_name
from huggingface_hub.utils import WeakFileLock, build_hf_headers  # type: ignore[attr-defined]
from huggingface_hub.utils import logging as hub_logging
from huggingface_hub.utils._http import default_client_factory

from mesh.hub.downloader.bounded_answers import ask_plainly, bounded
from mesh.hub.downloader.checked_entry import checked_entry
from mesh.hub.downloader.refusals import Broken, HttpRefusal, NeverBegun, in_words
from mesh.hub.hub_lines import FileEntry, HubError, RepositoryEntry

ANSWER_SECONDS: Final = 30.0
SEARCH_SECONDS: Final = 10.0
LOCK_PAUSE: Final = 2.0
LOCK_SECONDS: Final = 6 * 3600.0
_TAG: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{7,127}")
_HUBS: Final = (("https", "huggingface.co", None), ("https", "hf.co", None))

T = TypeVar("T")
Token = bool | None
"""None: this user's, if there is one; False: none."""


@dataclass(frozen=True, slots=True)
class HubBlob:
    """What the hub says of one file: its name in the cache, and where its bytes are.

    ``headers`` go with a request to ``location``. ``in_pieces``: too large for that, so the library gets it
    by its own protocol.
    """

    tag: str
    commit: str
    size: int | None
    location: str
    headers: dict[str, str]
    in_pieces: bool


def prepare() -> None:
    """Bound what the library reads; its warnings do not concern those who read the errors."""
    hub_logging.set_verbosity(logging.ERROR)
    huggingface_hub.set_client_factory(_client)


def _client() -> httpx2.Client:
    """The library's own client, which reads answers of any length: here they have a bound."""
    client = default_client_factory()
    hooks = client.event_hooks
    client.event_hooks = {
        "request": [*hooks["request"], ask_plainly],
        "response": [*hooks["response"], bounded],
    }
    return client


def endpoint() -> str:
    return constants.ENDPOINT


def cache() -> Path:
    return Path(constants.HF_HUB_CACHE).absolute()


def has_token() -> bool:
    return huggingface_hub.get_token() is not None


def has_symlinks() -> bool:
    return are_symlinks_supported(cache())


def folder_of(repo: str) -> Path:
    """Where the cache has this repository."""
    return cache() / repo_folder_name(repo_id=repo, repo_type="model")


def described(repo: str, revision: str) -> RepositoryEntry:
    """What the hub has of it. Raises Broken, HttpRefusal, HubError."""
    with _translated():
        info = huggingface_hub.HfApi().model_info(
            repo, revision=revision or None, files_metadata=True, timeout=ANSWER_SECONDS
        )
        files = [
            FileEntry(
                path=one.rfilename,
                size=(one.lfs.size if one.lfs else one.size) or 0,
                sha256=one.lfs.sha256 if one.lfs else "",
            )
            for one in info.siblings or ()
            if one.rfilename.lower().endswith(".gguf")
        ]
        closed = bool(info.gated or info.private)
        return checked_entry(RepositoryEntry(repo=info.id, commit=info.sha or "", closed=closed, files=files))


def search(words: str = "", owner: str = "", most: int = 50) -> list[str]:
    """Repositories with GGUF files, the most used first; none where the hub does not answer soon."""

    def ask() -> list[str]:
        found = huggingface_hub.HfApi().list_models(
            search=words or None, author=owner or None, filter="gguf", sort="downloads", limit=most
        )
        return [model.id for model in found]

    return _soon(ask) or []


def revisions(repo: str) -> list[str]:
    """Branches and tags; none where the hub does not answer soon."""

    def ask() -> list[str]:
        refs = huggingface_hub.HfApi().list_repo_refs(repo)
        return [one.name for one in (*refs.branches, *refs.tags)]

    return _soon(ask) or []


def url_of(repo: str, revision: str, path: str) -> str:
    with _translated():
        return huggingface_hub.hf_hub_url(repo, path, revision=revision or None)


def headers(token: Token) -> dict[str, str]:
    """For a request to the hub. Raises NeverBegun where the person has forbidden any."""
    if constants.is_offline_mode():
        raise NeverBegun("HF_HUB_OFFLINE is set", offline=True)
    return {name: str(value) for name, value in build_hf_headers(token=token).items()}


def blob_of(repo: str, commit: str, path: str, token: Token) -> HubBlob:
    """Raises Broken, HttpRefusal, HubError."""
    url = url_of(repo, commit, path)
    with _translated():
        found = huggingface_hub.get_hf_file_metadata(url, token=token, timeout=ANSWER_SECONDS)
    if not found.etag or not _TAG.fullmatch(found.etag):
        raise HubError("wrong", f"the hub does not say which version of {path} it has", _ask_operator())
    sent = headers(token)
    if not _is_hub(url, found.location):
        sent.pop("authorization", None)
    # Its own protocol begins anew with each process, so that a cut costs all that came. It is taken for what
    # the hub gives in no other way.
    in_pieces = (
        found.xet_file_data is not None
        and (found.size or 0) > constants.MAX_HTTP_DOWNLOAD_SIZE
        and not constants.HF_HUB_DISABLE_XET
        and importlib.util.find_spec("hf_xet") is not None
    )
    return HubBlob(found.etag, found.commit_hash or "", found.size, found.location, sent, in_pieces)


def get_in_pieces(repo: str, commit: str, path: str, token: Token, on_bytes: Callable[[int], None]) -> None:
    """Let the library download a file into its cache. Raises Broken, HttpRefusal, HubError, OSError."""

    class PieceBar:
        """What the library takes for a progress bar; it has two, for what came and for what is written."""

        total = 0

        def __init__(self, *_: object, desc: str = "", **__: object) -> None:
            self._counts = "reconstructing" in desc
            self.n = 0

        def __enter__(self) -> "PieceBar":
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def update(self, count: float | None = 1) -> None:
            self.n += int(count or 0)
            if self._counts:
                on_bytes(self.n)

        def refresh(self) -> None:
            return None

        close = refresh

        def set_postfix_str(self, *_: object, **__: object) -> None:
            return None

    with _translated():
        try:
            huggingface_hub.hf_hub_download(
                repo,
                path,
                revision=commit,
                token=token,
                tqdm_class=PieceBar,
            )
        except LocalEntryNotFoundError as error:  # it asks the hub once more itself
            raise Broken(str(error.__cause__ or "the hub does not answer")) from error
        except (OfflineModeIsEnabled, HfHubHTTPError):
            raise
        except (OSError, RuntimeError) as error:
            # Its own protocol's errors have no number; those of the disk have one.
            if isinstance(error, OSError) and error.errno and not isinstance(error, ConnectionError):
                raise
            raise Broken(str(error) or type(error).__name__) from error


def in_cache(repo: str, commit: str, path: str) -> Path | None:
    """Where the library finds the file of this commit, without asking anybody."""
    try:
        found = huggingface_hub.hf_hub_download(repo, path, revision=commit, local_files_only=True)
        return Path(found).absolute()
    except LocalEntryNotFoundError:
        return None
    except (HFValidationError, ValueError) as error:
        raise HubError("failed", f"{repo} {path}: {error}", "name it as OWNER/NAME") from error


def lock_of(repo: str, tag: str) -> Path:
    """The file by which the library keeps others from downloading the same blob."""
    return cache() / ".locks" / folder_of(repo).name / f"{tag}.lock"


@contextmanager
def lock(file: Path, tell: Callable[[str], None], most: float = LOCK_SECONDS) -> Iterator[None]:
    """Nobody else holds ``file`` meanwhile. Raises HubError ``busy`` after ``most`` seconds, OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(max(1, int(most / LOCK_PAUSE))):
        held = WeakFileLock(file, timeout=LOCK_PAUSE)
        try:
            held.__enter__()
        except filelock.Timeout:
            tell("another program downloads the same file")
            continue
        break
    else:
        raise HubError("busy", "another program downloads the same file", f"end it, or remove {file}")
    try:
        yield
    finally:
        held.__exit__(None, None, None)


def left_pieces(repo: str, tag: str) -> Sequence[Path]:
    """What the library leaves of a blob when it is killed; it does not use them again."""
    return sorted((folder_of(repo) / "blobs").glob(f"{tag}.*.incomplete"))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise NeverBegun("HF_HUB_OFFLINE is set", offline=True) from error
    except HfHubHTTPError as error:
        url = str(error.response.request.url)
        raise HttpRefusal(url, error.response.status_code, error.response.headers) from error
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError) as error:
        raise NeverBegun(in_words(error)) from error
    except httpx2.TooManyRedirects as error:
        raise HubError("failed", f"{endpoint()} redirects in a circle", _ask_operator()) from error
    except (httpx2.HTTPError, httpx2.StreamError) as error:
        raise Broken(in_words(error)) from error
    except HFValidationError as error:
        raise HubError(
            "not_found", f"that is no name of a repository: {error}", "name one as OWNER/NAME"
        ) from error
    except (
        ValueError,  # such as of JSON
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
        FileMetadataError,
    ) as error:
        message = f"{endpoint()} does not answer as a hub does"
        raise HubError("failed", message, _ask_operator()) from error
    except httpx2.InvalidURL as error:
        raise HubError("failed", f"{endpoint()} is no address of a hub", "look at HF_ENDPOINT") from error


def _ask_operator() -> str:
    return "look at HF_ENDPOINT, and whether this network asks for a login in a browser"


def _soon(ask: Callable[[], T]) -> T | None:
    """What it returns within some seconds; it is a hint for people, so nothing is worth waiting longer."""
    results: list[T] = []

    def run() -> None:
        with suppress(Exception):
            results.append(ask())

    # The library itself would wait for as long as a busy hub asks; this process does not wait for the thread.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(SEARCH_SECONDS)
    return results[0] if results else None


def _is_hub(url: str, location: str) -> bool:
    """Whether the token may go there too: the same server, or the hub itself behind a mirror."""
    origins = [(one.scheme, (one.hostname or "").lower(), one.port) for one in map(urlsplit, (url, location))]
    return origins[1] in (origins[0], *_HUBS)


def relative_pointer(pointer: Path, blob: Path) -> str:
    """What a pointer of the cache holds: the way to its blob, so that the cache can be moved."""
    return os.path.relpath(blob, pointer.parent)
