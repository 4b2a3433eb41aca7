"""Removing a download that is not what it should be, and nothing else."""

import os
import re
from pathlib import Path
from typing import Final

from mesh.hub.hub_lines import HubError

_POINTER: Final = re.compile(r"models--[^/]+/snapshots/[0-9a-f]{40}/.+")
_URL_FOLDER: Final = re.compile(r"url-[0-9a-f]{16}")


def forget(path: Path) -> bool:
    """Remove a downloaded file whose hash or size is wrong, so that the next download begins anew.

    Of the hub's cache the pointer goes, and the blob that it leads to; never what lies outside of the cache.
    Returns False, and removes nothing, for what is neither a file of the hub's cache nor one that
    `fetch_url` made. Raises HubError where it cannot be removed.
    """
    path = Path(os.path.abspath(path))
    try:
        if _URL_FOLDER.fullmatch(path.parent.name) and not path.is_symlink() and path.is_file():
            path.unlink()
            return True
        repository = next((one for one in path.parents if one.name.startswith("models--")), None)
        if repository is None or not _POINTER.fullmatch(path.relative_to(repository.parent).as_posix()):
            return False
        if path.is_symlink():
            blob = Path(os.path.abspath(path.parent / path.readlink()))
            if blob.parent != repository / "blobs":
                return False
            blob.unlink(missing_ok=True)
        elif not path.is_file():
            return False
        path.unlink()
    except OSError as error:
        hint = "remove it yourself: it is not the model it should be"
        raise HubError("failed", f"{path} cannot be removed: {error.strerror}", hint) from error
    return True
