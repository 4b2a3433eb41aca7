"""What people type for a model: a file, a name, a repository of the hub, or an address. Pure."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from mesh.wire.errors import MeshError

MAX_TEXT: Final = 4096
"""Characters of what is typed; a longer text is an accident."""
MAX_NAME: Final = 255
HUB_HOSTS: Final = frozenset({"huggingface.co", "www.huggingface.co", "hf.co"})
FORMS: Final = (
    "a file (./model.gguf), a model that the pool holds, hf:OWNER/REPO[:QUANT], or https://....gguf"
)

_PART: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,95}")
_REVISION: Final = re.compile(r"(?:refs/(?:pr|convert|heads|tags)/)?[A-Za-z0-9_][A-Za-z0-9._+-]{0,199}")
_QUANTISATION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_HUB_SCHEME: Final = re.compile(r"(?:hf|huggingface):(?://)?", re.IGNORECASE)
_NO_MODELS: Final = frozenset(
    {"datasets", "spaces", "docs", "papers", "collections", "blog", "api", "buckets"}
)
"""What a path on the hub may begin with that is no owner."""


@dataclass(frozen=True, slots=True)
class FileReference:
    """A file on this machine, as it was typed."""

    path: str


@dataclass(frozen=True, slots=True)
class NameReference:
    """The name of a model that the pool may hold."""

    name: str


@dataclass(frozen=True, slots=True)
class HubReference:
    """A repository of the hub; empty fields were not given. ``file`` is a path in it."""

    repo: str
    quantisation: str = ""
    file: str = ""
    revision: str = ""


@dataclass(frozen=True, slots=True)
class UrlReference:
    """An address of https (or http with a hash); ``sha256`` in hex, from ``#sha256=``, else empty."""

    url: str
    sha256: str = ""


Reference = FileReference | NameReference | HubReference | UrlReference


def parse_reference(text: str, is_file: Callable[[str], bool], endpoint: str = "") -> Reference:
    """What ``text`` means. ``endpoint``: the address of another hub than the usual, as in HF_ENDPOINT.

    What exists is a file, whatever it is called. Raises `MeshError` for what cannot be meant.
    """
    if is_file(text):
        return FileReference(text)
    text = text.strip()
    if not text:
        raise MeshError("no model is named", f"name {FORMS}")
    if len(text) > MAX_TEXT or not text.isprintable():
        raise MeshError("that is no model's name: it is too long, or not printable", f"name {FORMS}")
    if _is_page(text, endpoint):
        return _of_page(text, endpoint)
    if hub := _HUB_SCHEME.match(text):
        return _of_hub(text, text[hub.end() :])
    if scheme := _SCHEME.match(text):
        if scheme[1].lower() not in ("http", "https"):
            raise MeshError(f"{scheme[1]}:// is not a way to get models", f"name {FORMS}")
        return _of_address(text)
    if text.lower().endswith(".gguf") or text in (".", "..", "~") or text.startswith(("/", "./", "../", "~")):
        return FileReference(text)
    if "/" in text:
        return _of_path(text)
    if len(text) > MAX_NAME:
        raise MeshError(f"no model has a name of {len(text)} characters", f"name {FORMS}")
    return NameReference(text)


def _of_path(text: str) -> HubReference:
    """OWNER/REPO, with what may follow; not a path of more parts, which would be a file's."""
    if text.endswith("/"):
        raise MeshError(f"{text} is a folder, or would be one", "name the .gguf file in it")
    if text.partition("@")[0].count("/") != 1:
        raise MeshError(f"cannot tell what {text} means, and there is no such file", f"name {FORMS}")
    return _of_hub(text, text)


def _of_hub(text: str, rest: str) -> HubReference:
    """``OWNER/REPO[@REVISION][/FILE.gguf][:QUANT][@REVISION]``."""
    match = re.fullmatch(
        rf"(?P<repo>[^/@:]+/[^/@:]+)(?:@(?P<early>{_REVISION.pattern}))?"
        rf"(?:/(?P<file>[^:@]*))?(?::(?P<quantisation>[^:@]*))?(?:@(?P<late>{_REVISION.pattern}))?",
        rest,
    )
    if match is None or (match["early"] and match["late"]):
        owned = "/" in rest.partition("@")[0].partition(":")[0]
        missing = "" if owned or not rest else ": its owner is missing"
        raise MeshError(f"{text} does not name a model of the hub{missing}", _hub_form())
    file, quantisation = (match["file"] or "").rstrip("/"), match["quantisation"] or ""
    if match["quantisation"] == "":
        raise MeshError(f"{text} names no quantisation after the colon", _hub_form())
    if quantisation.lower().endswith(".gguf"):
        file, quantisation = quantisation, ""
    if file and quantisation:
        raise MeshError(f"{text} names a file and a quantisation", "one of them is enough")
    return _checked(text, match["repo"], quantisation, file, match["early"] or match["late"] or "")


def _checked(text: str, repo: str, quantisation: str, file: str, revision: str) -> HubReference:
    """The reference, if its parts can be what they are meant as."""
    for part in repo.split("/"):
        if not _PART.fullmatch(part) or ".." in part or part.endswith((".", ".git")):
            raise MeshError(f"{part} cannot be the name of an owner or a repository", _hub_form())
    if quantisation and not _QUANTISATION.fullmatch(quantisation):
        raise MeshError(f"{quantisation} cannot be a quantisation", _hub_form())
    if revision and (not _REVISION.fullmatch(revision) or ".." in revision):
        raise MeshError(f"{revision} cannot be a revision", "a branch, a tag or a commit")
    if file:
        if not file.lower().endswith(".gguf"):
            raise MeshError(f"{text} names no GGUF file", "only files whose names end in .gguf can be served")
        if any(part in ("", ".", "..") for part in file.split("/")) or "\\" in file:
            raise MeshError(f"{file} cannot be a file of a repository", _hub_form())
    return HubReference(repo, quantisation, file, revision)


def _is_page(text: str, endpoint: str) -> bool:
    """Whether it is an address of the hub, with or without a scheme."""
    host, path = _page_parts(text)
    return bool(path) and (host in HUB_HOSTS or (bool(endpoint) and host == _page_parts(endpoint)[0]))


def _page_parts(text: str) -> tuple[str, str]:
    """The host of an address, with its port, and all that follows."""
    without = re.sub(r"^https?://", "", text, flags=re.IGNORECASE)
    host, slash, path = without.partition("/")
    return host.lower(), slash + path


def _of_page(text: str, endpoint: str) -> Reference:
    """A page of the hub: of a repository, of a revision or folder of it, or of a file."""
    host, rest = _page_parts(text)
    path, _, fragment = rest.partition("#")
    path, _, query = path.partition("?")
    prefix = "" if host in HUB_HOSTS else _page_parts(endpoint)[1].rstrip("/")
    parts = [unquote(part) for part in path.removeprefix(prefix).split("/") if part]
    if not all(part.isprintable() for part in parts):
        raise MeshError(f"{text} is no page of a model", _hub_form())
    if parts and parts[0] == "models":
        del parts[0]
    if len(parts) < 2 or parts[0].lower() in _NO_MODELS:
        raise MeshError(f"{text} is not the page of a model", _hub_form())
    if len(parts) == 2:
        shown = parse_qs(query).get("show_file_info", [""])[0]
        return _of_hub(text, "/".join(parts) + (f"/{shown}" if shown else ""))
    repo, kind, (revision, inside) = "/".join(parts[:2]), parts[2], _revision(parts[3:])
    if kind == "tree":
        return _checked(text, repo, inside.rpartition("/")[2], "", revision)
    if kind in ("blob", "resolve", "raw"):
        if kind == "resolve" and fragment.startswith("sha256="):
            return _of_address(text if "://" in text else f"https://{text}")
        if not inside:
            raise MeshError(f"{text} names no file", _hub_form())
        return _checked(text, repo, "", inside, revision)
    return _checked(text, repo, "", "", "")  # such as /discussions: the person means the model


def _revision(parts: list[str]) -> tuple[str, str]:
    """The revision, such as ``main`` or ``refs/pr/1``, and the path after it."""
    length = 3 if parts[:1] == ["refs"] and len(parts) >= 3 else 1
    return "/".join(parts[:length]), "/".join(parts[length:])


def _of_address(text: str) -> UrlReference:
    """An address of a GGUF file, with ``#sha256=`` or without."""
    address, hash, fragment = text.partition("#")
    parts = _split(address)
    name, equals, sha256 = fragment.partition("=")
    if hash and (name != "sha256" or not equals or not _SHA256.fullmatch(sha256)):
        raise MeshError(
            f"#{fragment} is no hash", "after # goes sha256= and the 64 digits of the file's hash"
        )
    if parts.username is not None:
        raise MeshError("an address with a name or a password in it is not taken", "use one without")
    if not unquote(parts.path).lower().endswith(".gguf"):
        raise MeshError(f"{text} is no address of a .gguf file", f"name {FORMS}")
    if parts.scheme.lower() == "http" and not sha256:
        raise MeshError(
            "over plain http anybody on the way could change the file",
            "use https, or add #sha256= and the hash of the file",
        )
    return UrlReference(address, sha256.lower())


def _split(address: str) -> SplitResult:
    """The parts of an address that has a host and, if any, a port that is one."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        raise MeshError(f"{address} is no address", f"name {FORMS}") from None
    if not parts.hostname or port == 0 or any(c.isspace() for c in address):
        raise MeshError(f"{address} is no address", f"name {FORMS}")
    return parts


def _hub_form() -> str:
    return "write hf:OWNER/REPO, hf:OWNER/REPO:QUANT or hf:OWNER/REPO/FILE.gguf, as its page is called"
