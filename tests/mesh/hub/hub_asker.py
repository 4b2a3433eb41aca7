"""Asks the hub's process, as its client does, and keeps every line of the answer."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from mesh.hub.hub_lines import ErrorLine, FileEntry, ProgressLine
from tests.lab.hub import ScriptedHub

PACE: Final = 0.002
"""Of the pauses between tries."""
SECONDS: Final = 60.0


def model(length: int, seed: int = 1) -> bytes:
    """The bytes of a file that begins like a model's."""
    return b"GGUF" + hashlib.shake_128(str(seed).encode()).digest(length - 4)


def entry(path: str, data: bytes, longer: int = 0) -> FileEntry:
    return FileEntry(path=path, size=len(data) + longer, sha256=hashlib.sha256(data).hexdigest())


@dataclass(frozen=True, slots=True)
class AskedHub:
    """All that the process said."""

    result: Any
    error: ErrorLine | None
    progress: list[ProgressLine]
    stderr: str

    @property
    def failure(self) -> ErrorLine:
        assert self.error is not None, self.result
        return self.error

    @property
    def files(self) -> list[Path]:
        assert self.error is None, self.error
        return [Path(one) for one in self.result["files"]]

    @property
    def texts(self) -> list[str]:
        return [one["text"] for one in self.progress]


@dataclass
class HubAsker:
    """Starts the process with the variables of ``hub`` and ``more`` of its own."""

    hub: ScriptedHub
    folder: Path
    token: str = ""
    more: dict[str, str] = field(default_factory=dict)

    @property
    def cache(self) -> Path:
        return self.folder / "hf-home" / "hub"

    def start(self, request: dict[str, Any]) -> "subprocess.Popen[str]":
        """The process, which has its request; its standard input stays open."""
        variables = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        process = subprocess.Popen(
            [sys.executable, "-m", "mesh.hub.downloader.hub_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=variables | self.hub.environment(self.folder, self.token) | self.more,
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps({"pace": PACE, **request}) + "\n")
        process.stdin.flush()
        return process

    def __call__(self, **request: Any) -> AskedHub:
        with self.start(request) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            lines = [json.loads(line) for line in process.stdout]
            process.wait(SECONDS)
            last = lines[-1] if lines else {}
            progress = [line["progress"] for line in lines if "progress" in line]
            return AskedHub(last.get("result"), last.get("error"), progress, process.stderr.read())

    def describe(self, repo: str, revision: str = "") -> AskedHub:
        return self(do="describe", repo=repo, revision=revision)

    def fetch(self, repo: str, *files: FileEntry, token: bool = True) -> AskedHub:
        """All GGUF files of the repository's main branch, or these."""
        return self(**self.fetching(repo, *files, token=token))

    def fetching(self, repo: str, *files: FileEntry, token: bool = True) -> dict[str, Any]:
        """The request of `fetch`."""
        stored = self.hub.repository(repo)
        assert stored is not None
        there = stored.files[stored.commit].items()
        wanted = list(files) or [entry(path, data) for path, data in there if path.endswith(".gguf")]
        return {"do": "fetch", "repo": repo, "commit": stored.commit, "files": wanted, "token": token}

    def fetch_url(self, url: str, sha256: str = "") -> AskedHub:
        return self(do="fetch_url", url=url, sha256=sha256, folder=str(self.folder / "models"))

    def header(self, count: int, **where: str) -> tuple[AskedHub, bytes]:
        into = self.folder / "header"
        asked = self(do="header", bytes=count, into=str(into), **where)
        return asked, into.read_bytes() if into.exists() else b""

    def left(self) -> list[str]:
        """Names of the blobs in the cache, whole or not."""
        return sorted(one.name for one in self.cache.glob("models--*/blobs/*"))
