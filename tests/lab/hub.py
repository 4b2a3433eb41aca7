"""A hub for tests: what the hub's library asks for, on loopback, with faults that a test switches on.

::

    with ScriptedHub() as hub:
        hub.add("ann/tiny-GGUF", {"tiny-Q4_K_M.gguf": b"GGUF..."})
        hub.faults.cut_after = 1000                  # the first body breaks off after 1000 bytes
        run(["mesh", "pull", "hf:ann/tiny-GGUF"], env=os.environ | hub.environment(tmp_path))
        assert hub.bodies() == [...]                 # what was asked for, in order

`ScriptedHub.environment` lets the library ask this hub, with a cache and a token file of its own below the
folder. A repository's bodies come from a second server (``cdn = "port"``, as with the real hub), from
another path of this one (``"path"``) or from where they were asked for (``""``). `ScriptedHub.put` serves a
plain file at an address without the hub's ways, over ``http`` and, with the certificate that `environment`
names, over ``https``. `HubFaults` says which faults there are; counted ones happen so often and then no
more. In another network namespace, give ``address``: the hub listens there.
"""

import hashlib
import ipaddress
import json
import re
import ssl
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Self, cast
from urllib.parse import parse_qs, quote, unquote, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PIECE: Final = 16 * 1024
PAGE: Final = b"<!doctype html><html><body>Please log in.</body></html>"
CHANGED_LATER: Final = "Mon, 30 Nov 2026 15:00:00 GMT"


@dataclass
class HubFaults:
    """What goes wrong from now on. Faults of bodies concern any file's, of the hub or not."""

    cut_after: int = 0
    """A body breaks off after so many bytes; 0: none does."""
    cut_times: int = 1
    """So often; -1: always."""
    busy_times: int = 0
    """So many requests get 429; -1: all."""
    retry_after: str = "1"
    """Its Retry-After; empty: none."""
    error_times: int = 0
    """So many requests get ``error``; -1: all."""
    error: int = 503
    at: str = ""
    """Counted faults concern requests whose path contains this."""
    hold: threading.Event | None = None
    """A body stops after its first piece until this is set."""
    body_longer: int = 0
    """The size that a body's server tells is so much more than its bytes, which break off there."""
    linked_longer: int = 0
    """The size in the metadata of a file is so much more than in the listing."""
    listed_longer: int = 0
    """The size in the listing is so much more than the file's."""
    padding: int = 0
    """So many blanks come before each answer in JSON."""
    tag: str = ""
    """What a file's server calls its version, else it is named by its hash."""
    altered: bool = False
    """A byte of each body is another than it should be."""
    untold: bool = False
    """A body's server does not tell its size: the connection's end ends it."""
    told: str = ""
    """The Content-Range of each part that is sent, else it is true."""
    no_ranges: bool = False
    """All of a file is sent, whatever range was asked for."""
    page: bool = False
    """A page is sent for a file."""
    loop: bool = False
    """A file's address leads to itself."""
    downgrade: bool = False
    """An address of https leads to http."""


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """``server``: hub, cdn or https. ``authorization`` and ``span`` (of Range) are empty where none came."""

    server: str
    method: str
    path: str
    span: str
    authorization: str


@dataclass
class StoredRepository:
    """A repository of the hub: one commit for each revision. ``token``: the one that opens it."""

    name: str
    revisions: dict[str, str]
    files: dict[str, dict[str, bytes]]
    gated: bool = False
    private: bool = False
    token: str = ""

    @property
    def commit(self) -> str:
        return self.revisions["main"]

    def commit_of(self, revision: str) -> str | None:
        return revision if revision in self.files else self.revisions.get(revision)


@dataclass
class ScriptedHub:
    """The hub; see above. ``requests`` are all it has seen, in order."""

    address: str = "127.0.0.1"
    cdn: str = "port"
    faults: HubFaults = field(default_factory=HubFaults)
    requests: list[SeenRequest] = field(default_factory=list)
    refuses_tokens: bool = False
    """Any token is one that it does not know."""
    speaks: bool = True
    """Otherwise it answers everything with a page, as the login of a public network does."""
    _repositories: dict[str, StoredRepository] = field(default_factory=dict)
    _plain: dict[str, bytes] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._lock = threading.Lock()
        self._folder = tempfile.TemporaryDirectory(prefix="mesh-hub-")
        self._servers = {name: _HubServer(self, name) for name in ("hub", "cdn", "https")}
        self._threads = [
            threading.Thread(target=one.serve_forever, args=(0.02,)) for one in self._servers.values()
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.faults.hold:
            self.faults.hold.set()
        for server in self._servers.values():
            server.shutdown()
            server.server_close()
        for thread in self._threads:
            thread.join()
        self._folder.cleanup()

    # --- what is there --------------------------------------------------------------------------------

    def add(
        self,
        name: str,
        files: Mapping[str, bytes],
        revision: str = "main",
        gated: bool = False,
        private: bool = False,
        token: str = "",
    ) -> StoredRepository:
        """A repository with these files, or another revision of it."""
        digests = [hashlib.sha256(data).hexdigest() for data in files.values()]
        commit = hashlib.sha1(repr((name, revision, list(files), digests)).encode()).hexdigest()
        repository = self._repositories.setdefault(name, StoredRepository(name, {}, {}))
        repository.revisions[revision] = commit
        repository.files[commit] = dict(files)
        repository.gated, repository.private, repository.token = gated, private, token
        return repository

    def remove(self, name: str) -> None:
        del self._repositories[name]

    def put(self, path: str, data: bytes) -> None:
        """A plain file at ``/files/PATH``."""
        self._plain[path] = data

    # --- where it is ----------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return self._url("hub")

    def file_url(self, path: str, secure: bool = True) -> str:
        """The address of what was `put` there."""
        return f"{self._url('https' if secure else 'cdn')}/files/{quote(path)}"

    def environment(self, folder: Path, token: str = "") -> dict[str, str]:
        """Variables for a program whose library asks this hub; cache and token are below ``folder``."""
        home = folder / "hf-home"
        home.mkdir(exist_ok=True)
        variables = {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_CACHE": str(home / "hub"),
            "HF_TOKEN_PATH": str(home / "token"),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": "*",
            "SSL_CERT_FILE": str(Path(self._folder.name) / "certificate.pem"),
        }
        return variables | ({"HF_TOKEN": token} if token else {})

    # --- what it saw ----------------------------------------------------------------------------------

    def bodies(self) -> list[SeenRequest]:
        """The requests for a file's bytes."""
        return [one for one in self.requests if one.method == "GET" and not one.path.startswith("/api/")]

    def tokens(self) -> set[str]:
        """All that it was shown, on any server."""
        return {one.authorization for one in self.requests} - {""}

    # --- for its servers ------------------------------------------------------------------------------

    def _url(self, server: str) -> str:
        scheme = "https" if server == "https" else "http"
        return f"{scheme}://{self.address}:{self._servers[server].server_address[1]}"

    def note(self, request: SeenRequest) -> None:
        with self._lock:
            self.requests.append(request)

    def strikes(self, fault: str, path: str) -> bool:
        """Whether a counted fault happens now; then it is one of its times."""
        with self._lock:
            times = getattr(self.faults, fault)
            if times == 0 or self.faults.at not in path:
                return False
            setattr(self.faults, fault, times - 1 if times > 0 else times)
            return True

    def repository(self, name: str) -> StoredRepository | None:
        return self._repositories.get(name)

    def found(self, words: str, owner: str) -> list[StoredRepository]:
        """Those with GGUF files, as the hub finds them."""
        return [
            one
            for one in self._repositories.values()
            if words.lower() in one.name.lower()
            and (not owner or one.name.startswith(f"{owner}/"))
            and any(path.endswith(".gguf") for path in one.files[one.commit])
        ]

    def plain(self, path: str) -> bytes | None:
        return self._plain.get(path)

    def certificate(self) -> ssl.SSLContext:
        """For the server of https; the certificate is its own authority, in the file that is trusted."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a hub for tests")])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(self.address))]), False
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
            .sign(key, hashes.SHA256())
        )
        public = Path(self._folder.name) / "certificate.pem"
        public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        secret = Path(self._folder.name) / "key.pem"
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(public, secret)
        return context


class _HubServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, hub: ScriptedHub, name: str) -> None:
        super().__init__((hub.address, 0), _HubHandler)
        self.hub = hub
        self.name = name
        if name == "https":
            self.socket = hub.certificate().wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is what tests do."""


class _HubHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    @property
    def _hub(self) -> ScriptedHub:
        return cast(_HubServer, self.server).hub

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._serve()

    def do_GET(self) -> None:
        self._serve()

    def _serve(self) -> None:
        hub, headers = self._hub, self.headers
        authorization = headers.get("authorization", "")
        server = cast(_HubServer, self.server).name
        hub.note(SeenRequest(server, self.command, self.path, headers.get("range", ""), authorization))
        path = unquote(urlsplit(self.path).path)
        if not hub.speaks:
            self._send(200, PAGE, {"Content-Type": "text/html"})
        elif hub.strikes("busy_times", self.path):
            after = hub.faults.retry_after
            self._fail(429, "", "too many requests", {"Retry-After": after} if after else {})
        elif hub.strikes("error_times", self.path):
            self._fail(hub.faults.error, "", "out of order")
        elif authorization and hub.refuses_tokens:
            self._fail(401, "", "Invalid credentials in Authorization header")
        elif path == "/api/models":
            self._search()
        elif path.startswith("/api/models/"):
            self._describe(path.removeprefix("/api/models/"))
        elif path.startswith("/files/"):
            self._plain(path.removeprefix("/files/"))
        elif match := re.fullmatch(r"/cdn/(.+)/([0-9a-f]{40})/(.+)", path):
            self._file(match[1], match[2], match[3])
        elif match := re.fullmatch(r"/(.+?)/resolve/([^/]+)/(.+)", path):
            self._resolve(match[1], match[2], match[3])
        else:
            self._fail(404, "", "no such page")

    # --- the API --------------------------------------------------------------------------------------

    def _search(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        found = self._hub.found(asked.get("search", [""])[0], asked.get("author", [""])[0])
        most = int(asked.get("limit", ["1000"])[0])
        self._json([{"id": one.name, "private": one.private} for one in found if not one.private][:most])

    def _describe(self, rest: str) -> None:
        name, _, revision = rest.partition("/revision/")
        name, refs, _ = name.partition("/refs")
        repository = self._open(name, "describe")
        if repository is None:
            return
        if refs:
            listed = [
                {"name": name, "ref": f"refs/heads/{name}", "targetCommit": commit}
                for name, commit in repository.revisions.items()
            ]
            self._json({"branches": listed, "converts": [], "tags": []})
            return
        commit = repository.commit_of(revision or "main")
        if commit is None:
            self._fail(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        longer = self._hub.faults.listed_longer
        siblings = [
            {
                "rfilename": path,
                "size": len(data) + longer,
                "blobId": hashlib.sha1(data).hexdigest(),
                "lfs": {
                    "sha256": hashlib.sha256(data).hexdigest(),
                    "size": len(data) + longer,
                    "pointerSize": 134,
                },
            }
            for path, data in repository.files[commit].items()
        ]
        self._json(
            {
                "id": name,
                "sha": commit,
                "private": repository.private,
                "gated": "manual" if repository.gated else False,
                "siblings": siblings,
            }
        )

    def _open(self, name: str, what: str) -> StoredRepository | None:
        """The repository, unless it is closed to whoever asks; then that is the answer."""
        repository = self._hub.repository(name)
        shown = self.headers.get("authorization", "").removeprefix("Bearer ")
        knows = repository is not None and bool(repository.token) and shown == repository.token
        if repository is None or (repository.private and not knows):
            self._fail(404 if shown else 401, "RepoNotFound", "Repository not found")
            return None
        if repository.gated and what == "file" and not knows:
            message = f"Access to model {name} is restricted."
            self._fail(403 if shown else 401, "GatedRepo", message)
            return None
        return repository

    # --- files ----------------------------------------------------------------------------------------

    def _resolve(self, name: str, revision: str, path: str) -> None:
        repository = self._open(name, "file")
        if repository is None:
            return
        hub = self._hub
        commit = repository.commit_of(revision)
        if commit is None:
            self._fail(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        elif path not in repository.files[commit]:
            self._fail(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": commit})
        elif hub.faults.loop:
            self._send(307, b"", {"Location": self.path})
        elif hub.cdn:
            base = hub._url("cdn") if hub.cdn == "port" else ""
            location = f"{base}/cdn/{quote(name)}/{commit}/{quote(path)}?signature=fine"
            headers = self._metadata(commit, repository.files[commit][path])
            self._send(302 if base else 307, b"", {**headers, "Location": location})
        else:
            self._file(name, commit, path)

    def _metadata(self, commit: str, data: bytes) -> dict[str, str]:
        return {
            "X-Repo-Commit": commit,
            "X-Linked-Size": str(len(data) + self._hub.faults.linked_longer),
            "X-Linked-Etag": f'"{hashlib.sha256(data).hexdigest()}"',
        }

    def _file(self, name: str, commit: str, path: str) -> None:
        repository = self._hub.repository(name)
        data = repository.files.get(commit, {}).get(path) if repository else None
        if data is None:
            self._fail(403, "", "the signature has expired")
        else:
            self._body(data, self._metadata(commit, data))

    def _plain(self, path: str) -> None:
        hub = self._hub
        data = hub.plain(path)
        if data is None:
            self._send(404, PAGE, {"Content-Type": "text/html"})
        elif hub.faults.loop:
            self._send(302, b"", {"Location": self.path})
        elif hub.faults.downgrade:
            self._send(302, b"", {"Location": hub.file_url(path, secure=False)})
        else:
            self._body(data, {"Last-Modified": CHANGED_LATER})

    def _body(self, data: bytes, headers: dict[str, str]) -> None:
        faults = self._hub.faults
        if faults.page:
            self._send(200, PAGE, {"Content-Type": "text/html; charset=utf-8"})
            return
        tag = faults.tag or f'"{hashlib.sha256(data).hexdigest()}"'
        length = len(data) + faults.body_longer
        headers = {**headers, "ETag": tag, "Accept-Ranges": "bytes", "Content-Type": "binary/octet-stream"}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("range", ""))
        same = self.headers.get("if-range", tag) in (tag, CHANGED_LATER)
        if faults.altered:
            data = data[:-1] + bytes([data[-1] ^ 1])
        if not asked or faults.no_ranges or not same:
            self._stream(200, data, {**headers, "Content-Length": str(length)})
            return
        first, last = int(asked[1]), min(int(asked[2] or length - 1), length - 1)
        if first >= length:
            self._send(416, b"", {**headers, "Content-Range": f"bytes */{length}"})
            return
        headers |= {
            "Content-Range": faults.told or f"bytes {first}-{last}/{length}",
            "Content-Length": str(last - first + 1),
        }
        self._stream(206, data[first : last + 1], headers)

    def _stream(self, status: int, data: bytes, headers: Mapping[str, str]) -> None:
        hub = self._hub
        if hub.faults.untold:
            self.close_connection = True
            headers = {name: value for name, value in headers.items() if name != "Content-Length"}
        self._head(status, headers)
        if self.command == "HEAD":
            return
        if hub.faults.cut_after and len(data) > hub.faults.cut_after and hub.strikes("cut_times", self.path):
            self.wfile.write(data[: hub.faults.cut_after])
            self.close_connection = True
            return
        for start in range(0, len(data), PIECE):
            self.wfile.write(data[start : start + PIECE])
            if hub.faults.hold:
                self.wfile.flush()
                hub.faults.hold.wait(30)
        if len(data) < int(headers.get("Content-Length", 0)):
            self.close_connection = True

    # --- answers --------------------------------------------------------------------------------------

    def _json(self, value: Any) -> None:
        padded = b" " * self._hub.faults.padding + json.dumps(value).encode()
        self._send(200, padded, {"Content-Type": "application/json"})

    def _fail(self, status: int, code: str, message: str, more: Mapping[str, str] | None = None) -> None:
        headers = {"Content-Type": "application/json", "X-Error-Message": message, **(more or {})}
        if code:
            headers["X-Error-Code"] = code
        self._send(status, json.dumps({"error": message}).encode(), headers)

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self._head(status, {**headers, "Content-Length": str(len(body))})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        with suppress(ConnectionError):
            self.end_headers()
