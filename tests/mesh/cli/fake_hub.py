"""A stand-in for `mesh.hub.hub_client`: one repository, and files that are there at once."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mesh.hub.repository import HubFile, Repository
from mesh.wire.errors import MeshError

REPO, COMMIT = "owner/model-GGUF", "c" * 40
GIB = 1 << 30
FILES = (
    HubFile("model-BF16.gguf", 16 * GIB, "1" * 64),
    HubFile("model-Q8_0-00001-of-00002.gguf", 4 * GIB, "2" * 64),
    HubFile("model-Q8_0-00002-of-00002.gguf", 4 * GIB, "3" * 64),
    HubFile("model-Q4_K_M.gguf", 5 * GIB, "4" * 64),
    HubFile("mmproj-F16.gguf", GIB, "5" * 64),
)


class HubError(MeshError):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def fit(*speeds: float) -> dict[str, Any]:
    """What the sidecar answers to FIT; a variant without speed does not fit."""
    return {
        "fits": [
            {"fits": speed > 0, "reason": "" if speed else "3.0 GiB are missing", "tokens_per_second": speed}
            for speed in speeds
        ]
    }


OnProgress = Callable[[Mapping[str, Any]], None]

REPOSITORY = Repository(REPO, COMMIT, False, FILES)


@dataclass
class FakeHub:
    """Notes what it is asked; ``failure`` is raised by whatever downloads."""

    folder: Path
    repository: Repository = field(default=REPOSITORY)
    failure: BaseException | None = None
    is_offline: bool = False
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    forgotten: list[Path] = field(default_factory=list)

    def close(self) -> None:
        self.repository = replace(self.repository, closed=True)

    def describe(self, repo: str, revision: str = "", on_progress: OnProgress | None = None) -> Repository:
        self.asked.append(("describe", repo, revision))
        if repo != self.repository.repo:
            raise MeshError(f"the hub has no {repo}", "look at how its page is called")
        return self.repository

    def header_of(
        self, into: Path, count: int, *, repo: str = "", revision: str = "", path: str = "", url: str = ""
    ) -> int:
        self.asked.append(("header_of", count, path or url))
        if self.is_offline:
            raise HubError("offline", "the hub cannot be reached")
        into.write_bytes(b"GGUF")
        return 7 * GIB

    def fetch(
        self,
        repo: str,
        commit: str,
        files: Sequence[HubFile],
        on_progress: OnProgress | None,
        *,
        model: int | None = None,
        token: bool = True,
    ) -> list[Path]:
        self.asked.append(("fetch", repo, commit, [file.path for file in files], token))
        return self._download([file.path for file in files], on_progress)

    def fetch_url(self, url: str, sha256: str, folder: Path, on_progress: OnProgress | None) -> list[Path]:
        self.asked.append(("fetch_url", url, sha256, folder))
        name = unquote(url.partition("?")[0].rpartition("/")[2])
        split = re.fullmatch(r"(.+)-\d{5}-of-(\d{5})\.gguf", name)
        if split is None:
            return self._download([name], on_progress)
        numbers = range(1, int(split[2]) + 1)
        return self._download([f"{split[1]}-{one:05}-of-{split[2]}.gguf" for one in numbers], on_progress)

    def forget(self, path: Path) -> bool:
        self.forgotten.append(path)
        return True

    def _download(self, names: Sequence[str], on_progress: OnProgress | None) -> list[Path]:
        if on_progress is not None:
            on_progress({"done": GIB, "total": 4 * GIB, "rate": 0.0, "text": names[0]})
        if self.failure is not None:
            raise self.failure
        return [self.folder / name for name in names]
