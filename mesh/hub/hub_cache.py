"""How much of a download is in the hub's cache already, without the hub's library or its process."""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from mesh.hub.repository import HubFile


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the hub's library keeps what it downloads, by the variables that it reads."""
    home = environment.get("HF_HOME") or os.path.join(
        environment.get("XDG_CACHE_HOME") or "~/.cache", "huggingface"
    )
    named = environment.get("HF_HUB_CACHE") or environment.get("HUGGINGFACE_HUB_CACHE")
    return Path(os.path.expanduser(os.path.expandvars(named or os.path.join(home, "hub"))))


def arrived_bytes(repo: str, files: Iterable[HubFile], environment: Mapping[str, str] = os.environ) -> int:
    """Bytes of the files that are there, whole or in part; files without a known hash count as missing."""
    blobs = cache_folder(environment) / ("models--" + repo.replace("/", "--")) / "blobs"
    return sum(_arrived(blobs, file) for file in files if file.sha256)


def _arrived(blobs: Path, file: HubFile) -> int:
    most = 0
    for name in (file.sha256, f"{file.sha256}.incomplete"):
        with suppress(OSError):
            most = max(most, min(file.size, (blobs / name).stat().st_size))
    return most
