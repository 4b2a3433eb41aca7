"""What the hub says of a repository, once nothing in it can hurt whoever reads on. Pure."""

import re
from typing import Any, Final

from mesh.hub.hub_lines import FileEntry, HubError, RepositoryEntry

MOST_FILES: Final = 10_000
MOST_PATH: Final = 512
"""Bytes of a file's path."""
MOST_FILE_BYTES: Final = 1 << 46
_NAME: Final = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,95}"
_REPO: Final = re.compile(rf"(?:{_NAME}/)?{_NAME}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


def checked_entry(entry: RepositoryEntry) -> RepositoryEntry:
    """The entry, without files whose paths lead elsewhere or cannot be shown.

    Raises TypeError or ValueError for what is no description, HubError for more files than are looked at.
    """
    _text(entry["repo"], _REPO)
    if not isinstance(entry["commit"], str):
        raise TypeError("commit")
    if len(entry["files"]) > MOST_FILES:
        message = f"{entry['repo']} has {len(entry['files'])} GGUF files, more than are looked at"
        raise HubError("wrong", message, "name another repository")
    for file in entry["files"]:
        _check_numbers(file)
    return {**entry, "files": [file for file in entry["files"] if is_clean(file["path"])]}


def is_clean(path: str) -> bool:
    """Whether it stays in its repository and can be shown."""
    stays = all(part not in ("", ".", "..") for part in path.split("/")) and "\\" not in path
    return stays and path.isprintable() and len(path.encode()) <= MOST_PATH


def _check_numbers(file: FileEntry) -> None:
    if type(file["size"]) is not int or not 0 <= file["size"] <= MOST_FILE_BYTES:
        raise ValueError("size")
    if file["sha256"]:
        _text(file["sha256"], _SHA256)


def _text(value: Any, form: re.Pattern[str]) -> None:
    if not isinstance(value, str) or not form.fullmatch(value):
        raise ValueError(f"{value!a:.80}")
