"""What an owner may have another member download: some GGUF files of one commit of one open repository. Pure.

Everything in it is checked at both ends, for the member that downloads trusts no text of the asker.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mesh.hub.repository import HubFile
from mesh.wire.errors import MeshError

MAX_FILES: Final = 1000
MAX_PATH: Final = 512
MAX_FILE_BYTES: Final = 1 << 46
MAX_REQUEST: Final = 1 << 20
"""Bytes of a request: `MAX_FILES` files with paths of usual length."""

_NAME: Final = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,95}"
_REPO: Final = re.compile(rf"{_NAME}/{_NAME}")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_SHA256: Final = re.compile(r"([0-9a-f]{64})?")


class WrongDownload(MeshError):
    """What nobody may have a member download."""

    usual_hint = "the hub tells names, sizes and hashes: let mesh ask it again, by hf:OWNER/REPO"


@dataclass(frozen=True, slots=True)
class WantedDownload:
    """``files`` of ``repo`` at ``commit``; the first ``held`` of them are the model, in order."""

    repo: str
    commit: str
    files: tuple[HubFile, ...]
    held: int

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    def message(self) -> dict[str, Any]:
        """As the asker sends it."""
        files = [[file.path, file.size, file.sha256] for file in self.files]
        return {"repo": self.repo, "commit": self.commit, "files": files, "held": self.held}


def read_request(message: Any) -> WantedDownload:
    """The download that ``message`` asks for. Raises WrongDownload for anything else."""
    given: Mapping[str, Any] = message if isinstance(message, dict) else {}
    repo, commit, files = given.get("repo"), given.get("commit"), given.get("files")
    if not isinstance(repo, str) or not _REPO.fullmatch(repo):
        raise WrongDownload(f"{_shown(repo)} is no repository of the hub", "it is called OWNER/REPO")
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
        raise WrongDownload(f"{_shown(commit)} is no commit", "it has 40 hexadecimal digits")
    if not isinstance(files, list) or not 1 <= len(files) <= MAX_FILES:
        raise WrongDownload(f"a download has 1 to {MAX_FILES} files")
    read = tuple(map(_file, files))
    if len({file.path for file in read}) != len(read):
        raise WrongDownload("a download names a file twice")
    held = given.get("held")
    if type(held) is not int or not 1 <= held <= len(read):
        raise WrongDownload(f"the model cannot be the first {_shown(held)} of {len(read)} files")
    return WantedDownload(repo, commit, read, held)


def _file(entry: Any) -> HubFile:
    if not isinstance(entry, list) or len(entry) != 3:
        raise WrongDownload("a download's file has a path, a size and a hash")
    path, size, sha256 = entry
    if not isinstance(path, str) or not _is_clean(path):
        raise WrongDownload(f"{_shown(path)} is no path of a GGUF file in a repository")
    if type(size) is not int or not 1 <= size <= MAX_FILE_BYTES:
        raise WrongDownload(f"the size of {path} cannot be {_shown(size)}", "the hub tells it with the file")
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise WrongDownload(f"the SHA-256 of {path} cannot be {_shown(sha256)}")
    return HubFile(path, size, sha256)


def _is_clean(path: str) -> bool:
    parts = path.split("/")
    stays = all(part not in ("", ".", "..") for part in parts) and "\\" not in path
    return stays and path.lower().endswith(".gguf") and path.isprintable() and len(path.encode()) <= MAX_PATH


def _shown(value: Any) -> str:
    return f"{value!a:.80}"
