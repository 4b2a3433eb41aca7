"""A package index on loopback, with what a build fetches in miniature; it misbehaves on demand."""

import hashlib
import io
import json
import re
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FakeIndex:
    """``files[project][name]`` is served; the other fields say how."""

    url: str = ""
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    corrupt: bool = False
    """Turn a byte of every file around."""
    cut_after: int | None = None
    """Break off the next download after so many bytes."""
    ranges: bool = True
    html: bool = False
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and Range header of each request for a file."""

    def file(self, path: str) -> bytes | None:
        """What ``project/name`` holds."""
        project, _, name = path.partition("/")
        return self.files.get(project, {}).get(name)

    def page(self, project: str) -> tuple[str, bytes]:
        """``(content type, body)`` of a project's page."""
        files = self.files[project]
        if self.html:
            links = "".join(
                f'<a href="../../files/{project}/{name}#sha256={sha256(data)}">{name}</a>\n'
                for name, data in files.items()
            )
            return "text/html; charset=utf-8", f"<html><body>{links}</body></html>".encode()
        entries = [
            {
                "filename": name,
                "url": f"/files/{project}/{name}",
                "hashes": {"sha256": sha256(data)},
                "size": len(data),
            }
            for name, data in files.items()
        ]
        return "application/vnd.pypi.simple.v1+json", json.dumps({"files": entries}).encode()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@contextmanager
def serve_index() -> Iterator[FakeIndex]:
    """The index, at its ``url`` while the context lasts."""
    index = FakeIndex()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind, _, rest = self.path.strip("/").partition("/")
            if kind == "simple" and rest in index.files:
                self._answer(200, *index.page(rest))
            elif kind == "files" and (
                data := index.files.get(rest.split("/")[0], {}).get(rest.split("/")[1])
            ):
                self._file(data)
            else:
                self._answer(404, "text/plain", b"not here")

        def _file(self, data: bytes) -> None:
            wanted = self.headers.get("Range")
            index.requests.append((self.path, wanted))
            if index.corrupt:
                data = bytes([data[0] ^ 255]) + data[1:]
            found = re.fullmatch(r"bytes=(\d+)-", wanted or "") if index.ranges else None
            if found and int(found.group(1)) >= len(data):
                self._answer(416, "text/plain", b"")
            elif found:
                self._answer(206, "application/octet-stream", data[int(found.group(1)) :])
            else:
                self._answer(200, "application/octet-stream", data)

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if index.cut_after is not None and kind == "application/octet-stream":
                body, index.cut_after = body[: index.cut_after], None
                self.close_connection = True
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Not on the tests' output."""

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        index.url = f"http://127.0.0.1:{server.server_address[1]}/simple"
        try:
            yield index
        finally:
            server.shutdown()
            thread.join()


class Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what some tests are about."""


def make_tar(files: Mapping[str, str | bytes], *, time: int = 1_600_000_000) -> bytes:
    """A ``.tar.gz``; names that end in ``.sh`` are executable."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = len(data), time, 0o755 if name.endswith(".sh") else 0o644
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def make_wheel(files: dict[str, tuple[str, int]]) -> bytes:
    """A wheel of ``{name: (content, mode)}``."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as wheel:
        for name, (content, mode) in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            wheel.writestr(entry, content)
    return buffer.getvalue()
