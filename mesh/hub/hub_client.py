"""Asking the process that talks with the hub: it is started for one request and ends with it.

For a command (`describe`, `header_of`, `fetch`, `fetch_url`) it sees the user's variables and stands in the
terminal's process group, so that Ctrl-C and Ctrl-Z mean both. For a sidecar (`fetch_apart`) it stands apart
and has no token. Nothing here imports the hub's library.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final

from mesh.hub.forgetting import forget
from mesh.hub.hub_lines import FileEntry, HeaderRequest, HubError, Line, ProgressLine, Request
from mesh.hub.repository import HubFile, Repository

__all__ = ["HubError", "describe", "fetch", "fetch_apart", "fetch_url", "forget", "header_of"]

END_SECONDS: Final = 3.0
"""For the process to end by itself."""
SILENT_SECONDS: Final = 900.0
"""A process that says nothing for so long is ended, where no person could do so."""
LONGEST_LINE: Final = 16 << 20
MOST_REASON: Final = 300
_INTERRUPTED: Final = 130
_TOKENS: Final = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")

OnProgress = Callable[[ProgressLine], None]


def describe(repo: str, revision: str = "", on_progress: OnProgress | None = None) -> Repository:
    """What the hub has of ``repo``, or its cache when the hub cannot be reached. Raises HubError."""
    entry = _ask({"do": "describe", "repo": repo, "revision": revision}, on_progress)
    files = tuple(HubFile(one["path"], one["size"], one["sha256"]) for one in entry["files"])
    return Repository(entry["repo"], entry["commit"], entry["closed"], files)


def header_of(
    into: Path, count: int, *, repo: str = "", revision: str = "", path: str = "", url: str = ""
) -> int:
    """Write the first ``count`` bytes of a file of the hub, or of any address, to ``into``.

    Returns the size of the whole file. Raises HubError.
    """
    request: HeaderRequest = {"do": "header", "into": str(into.absolute()), "bytes": count}
    if url:
        request["url"] = url
    else:
        request |= {"repo": repo, "revision": revision, "path": path}
    return int(_ask(request, None)["size"])


def fetch(
    repo: str,
    commit: str,
    files: Sequence[HubFile],
    on_progress: OnProgress | None,
    *,
    model: int | None = None,
    token: bool = True,
) -> list[Path]:
    """Download the files into the hub's cache, unless they are there.

    The first ``model`` of them (None: all) are the model: whoever makes its hash tree checks their hashes.
    Those of the others are checked here. ``token``: whether this user's token may be used. Raises HubError.
    """
    return _paths(_ask(_fetch_request(repo, commit, files, model, token), on_progress))


def fetch_url(url: str, sha256: str, folder: Path, on_progress: OnProgress | None) -> list[Path]:
    """Download a model from an address, with all its parts, into a folder of its own below ``folder``.

    ``sha256`` in hex is checked; it may be empty for https. Raises HubError.
    """
    folder = folder.absolute()
    return _paths(_ask({"do": "fetch_url", "url": url, "sha256": sha256, "folder": str(folder)}, on_progress))


async def fetch_apart(
    repo: str,
    commit: str,
    files: Sequence[HubFile],
    on_progress: OnProgress | None,
    *,
    model: int | None = None,
) -> list[Path]:
    """As `fetch` without a token, for a program in trio; cancelling ends the process. Raises HubError."""
    import trio

    request = _fetch_request(repo, commit, files, model, False)
    with tempfile.TemporaryFile() as errors:
        process = await trio.lowlevel.open_process(
            _COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=_environment(but=_TOKENS),
            cwd="/",
            start_new_session=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        answer = AnswerLines(on_progress)
        try:
            with suppress(trio.BrokenResourceError):
                await process.stdin.send_all(_line(request))
            while not answer.is_whole:
                data: bytes = b""
                with trio.move_on_after(SILENT_SECONDS) as silence:
                    data = bytes(await process.stdout.receive_some(1 << 16))
                if silence.cancelled_caught:
                    raise HubError("failed", "the hub's process says nothing any more", "try again")
                if not data:
                    break
                answer.feed(data)
        finally:
            with trio.CancelScope(shield=True):
                process.terminate()
                with trio.move_on_after(END_SECONDS):
                    await process.wait()
                process.kill()
                await process.wait()
                await process.stdin.aclose()
                await process.stdout.aclose()
        return _paths(answer.result(errors))


class AnswerLines:
    """The lines of the process, from bytes as they come."""

    def __init__(self, on_progress: OnProgress | None) -> None:
        self._on_progress = on_progress
        self._rest = b""
        self._last: Line | None = None

    @property
    def is_whole(self) -> bool:
        return self._last is not None

    def feed(self, data: bytes) -> None:
        """Raises HubError for what is no line."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST_LINE:
            raise HubError("failed", "the hub's process says too much at once", "try again")
        for text in lines:
            try:
                line: Line = json.loads(text)
            except ValueError as error:
                words = text[:MOST_REASON].decode(errors="replace")
                raise HubError("failed", f"the hub's process says {words}", "try again") from error
            if "progress" not in line:
                self._last = line
            elif self._on_progress is not None:
                self._on_progress(line["progress"])

    def result(self, errors: IO[bytes]) -> Any:
        """What it answered at last; ``errors`` is what it wrote besides. Raises HubError."""
        if self._last is None:
            errors.seek(0)
            words = errors.read(1 << 20).decode(errors="replace").strip().splitlines()
            reason = words[-1][:MOST_REASON] if words else "without a word"
            raise HubError("failed", f"the hub's process ended: {reason}", "try again")
        if "error" in self._last:
            error = self._last["error"]
            raise HubError(error["code"], error["message"], error["hint"])
        return self._last["result"]


# -P: a directory that happens to contain a `json.py` must not change what the process runs.
_COMMAND: Final = (sys.executable, "-P", "-m", "mesh.hub.downloader.hub_process")


def _ask(request: Request, on_progress: OnProgress | None) -> Any:
    answer = AnswerLines(on_progress)
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            _COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=_environment()
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with suppress(BrokenPipeError):
                process.stdin.write(_line(request))
                process.stdin.flush()
            while not answer.is_whole and (data := os.read(process.stdout.fileno(), 1 << 16)):
                answer.feed(data)
        finally:
            with suppress(BrokenPipeError):
                process.stdin.close()
            _end(process)
        if not answer.is_whole and process.returncode == _INTERRUPTED:
            raise KeyboardInterrupt
        return answer.result(errors)


def _end(process: subprocess.Popen[bytes]) -> None:
    """It ends by itself when it has answered, or when nobody asks any more."""
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _fetch_request(
    repo: str, commit: str, files: Sequence[HubFile], model: int | None, token: bool
) -> Request:
    entries = [
        FileEntry(
            path=one.path, size=one.size, sha256=one.sha256, check=model is not None and number >= model
        )
        for number, one in enumerate(files)
    ]
    return {"do": "fetch", "repo": repo, "commit": commit, "files": entries, "token": token}


def _environment(but: Sequence[str] = ()) -> Mapping[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in but}
    return {**kept, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}


def _line(request: Request) -> bytes:
    return json.dumps(request).encode() + b"\n"


def _paths(result: Any) -> list[Path]:
    return [Path(one) for one in result["files"]]
