"""The process that talks with the hub and downloads; what it imports alone imports the hub's library.

``python -m mesh.hub.downloader.hub_process`` reads one request from its standard input and answers in lines,
as `mesh.hub.hub_lines` says. It ends with its last line, when its standard input is closed, or quietly at a
signal; what came of a download stays for the next one."""

import json
import os
import signal
import ssl
import sys
import threading
from typing import IO, Any, Final, NoReturn

from mesh.hub.hub_lines import ErrorLine, HubError, Line

INTERRUPTED: Final = 130
LONGEST_REQUEST: Final = 4 << 20
"""Bytes of a request's line."""


def main() -> NoReturn:
    """Answer one request and end this process."""
    # Only lines go to whoever asks: whatever else is printed goes where errors go.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as lines:
        os.dup2(2, 1)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                signal.signal(number, lambda *_: _end(INTERRUPTED))
        request = sys.stdin.buffer.readline(LONGEST_REQUEST)
        threading.Thread(target=_work, args=(request, lines), daemon=True).start()
        while sys.stdin.buffer.read(1 << 16):
            pass
        _end(INTERRUPTED)


def _work(request: bytes, lines: IO[str]) -> None:
    writing = threading.Lock()

    def write(line: Line) -> None:
        with writing:
            lines.write(json.dumps(line) + "\n")
            lines.flush()

    try:
        write(last_line(request, write))
    except OSError:  # whoever asked is gone
        _end(INTERRUPTED)
    _end(0)


def last_line(request: bytes, write: Any) -> Line:
    """Do what the request wants; progress goes to ``write``. Every error is a line."""
    try:
        return {"result": _answer(json.loads(request), write)}
    except HubError as error:
        return {"error": ErrorLine(code=error.code, message=error.message, hint=error.hint)}
    except (KeyError, TypeError, ValueError) as error:
        return _failed(f"the hub's process does not understand {error!r}")
    except BrokenPipeError:
        raise
    except Exception as error:
        return _failed(f"the hub's process failed: {error!r}")


def _answer(request: Any, write: Any) -> Any:
    _check_certificates()
    # The library reads its variables while it is imported, and may not like them.
    try:
        from mesh.hub.downloader import description, hub_downloads, hub_library, url_downloads
        from mesh.hub.downloader.progress_lines import ProgressLines
    except ValueError as error:
        hint = "look at the variables that begin with HF_"
        raise HubError("failed", f"the hub's library does not start: {error}", hint) from error
    hub_library.prepare()
    progress = ProgressLines(write)
    match request["do"]:
        case "describe":
            return description.describe(request, progress)
        case "header" if request.get("url"):
            return url_downloads.header_of_url(request, progress)
        case "header":
            return hub_downloads.header(request, progress)
        case "fetch":
            return hub_downloads.fetch(request, progress)
        case "fetch_url":
            return url_downloads.fetch_url(request, progress)
        case other:
            raise ValueError(other)


def _check_certificates() -> None:
    """The library's client reads these before it asks anybody. Raises HubError."""
    file = os.environ.get("SSL_CERT_FILE")
    try:
        if file:
            ssl.create_default_context(cafile=file)
    except OSError as error:
        message = f"SSL_CERT_FILE names {file}, which holds no certificates: {error.strerror or error}"
        raise HubError("failed", message, "unset it, or name a file of certificates") from error


def _failed(message: str) -> Line:
    hint = "try again; if it stays so, it is a fault of this program"
    return {"error": ErrorLine(code="failed", message=message[:500], hint=hint)}


def _end(code: int) -> NoReturn:
    """At once: threads of the library may be in the middle of something."""
    if code and (downloads := sys.modules.get("mesh.hub.downloader.hub_downloads")):
        downloads.remove_open_pieces()
    os._exit(code)


if __name__ == "__main__":
    main()
