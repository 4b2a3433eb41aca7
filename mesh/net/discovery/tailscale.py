"""Asks tailscaled, over its LocalAPI, which machines are on the tailnet and which one is calling."""

import json
import sys
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import h11
import trio

from mesh.net.discovery.port_users import users_of
from mesh.net.discovery.tailnet import TailnetStatus, Whois, parse_interface, parse_status, parse_whois
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError

HOST = "local-tailscaled.sock"
ANSWER_LIMIT = 16 << 20
"""Bytes of one answer: a status has about 1 KiB a peer."""

ASK_SECONDS = 3.0

_LINUX_SOCKETS = ("/var/run/tailscale/tailscaled.sock", "/var/packages/Tailscale/etc/tailscaled.sock")
_MACOS_SOCKETS = ("/var/run/tailscaled.socket",)
_PROOF = "sameuserproof-"


class TailscaleError(MeshError):
    """The tailnet cannot be used.

    ``reason`` is one word: not_running, not_permitted, needs_login, starting, stopped, broken.
    """

    def __init__(self, reason: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class LocalPort:
    """The port on which macOS' sandboxed apps answer instead of a socket, and the proof of the same user."""

    port: int
    token: str

    def __repr__(self) -> str:
        return f"LocalPort(port={self.port})"


def find_socket(option: str | None = None) -> Path | LocalPort | None:
    """Where tailscaled answers: at the path ``option`` if given, nowhere if that is "off", else at its usual
    places.
    """
    daemon = find_daemon(option)
    if daemon is None and option != "off" and sys.platform == "darwin":
        return _find_app()
    return daemon


def find_daemon(option: str | None = None) -> Path | None:
    """The socket alone, as above. macOS' sandboxed apps have none, and always a network interface."""
    if option == "off":
        return None
    if option:
        return Path(option)
    sockets = _MACOS_SOCKETS if sys.platform == "darwin" else _LINUX_SOCKETS
    return next((path for path in map(Path, sockets) if _may_exist(path)), None)


def _may_exist(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        # Whoever asks there is told that this user may not.
        return True


def _find_app() -> LocalPort | None:
    containers = Path.home() / "Library" / "Group Containers"
    shared = Path("/Library/Tailscale")
    try:
        names = [path.name for path in containers.glob(f"*.io.tailscale.ipn.macos/{_PROOF}*")]
        proofs = {path.name: path.read_text() for path in shared.glob(f"{_PROOF}*")}
    except OSError:
        return None
    return parse_proofs(names, proofs.items())


def parse_proofs(names: Iterable[str], files: Iterable[tuple[str, str]]) -> LocalPort | None:
    """The first proof that a macOS app left.

    It is among file ``names`` ``sameuserproof-PORT-TOKEN`` (the App Store's app) or ``files`` named
    ``sameuserproof-PORT`` that hold the token (the stand-alone app).
    """
    for name in names:
        port, _, token = name.removeprefix(_PROOF).partition("-")
        if port.isdigit() and token:
            return LocalPort(int(port), token)
    for name, content in files:
        port = name.removeprefix(_PROOF)
        if port.isdigit() and content.strip():
            return LocalPort(int(port), content.strip())
    return None


class Tailscale:
    """One machine's tailscaled."""

    def __init__(self, where: Path | LocalPort) -> None:
        self._where = where

    async def status(self) -> TailnetStatus:
        """This machine and its peers. Raises :class:`TailscaleError`, also when the tailnet is not up."""
        status = parse_status(await self._status("/localapi/v0/status"))
        check_running(status.state)
        return status

    async def has_interface(self) -> bool:
        """Whether it has a network interface, also while the tailnet is not up; see `parse_interface`."""
        return parse_interface(await self._status("/localapi/v0/status?peers=false"))

    async def whois(self, endpoint: Endpoint, proto: str = "tcp") -> Whois | None:
        """The owner of a connection's other end; None if it is not on the tailnet.

        The port matters: under userspace networking connections come from 127.0.0.1, and the port tells them
        apart.
        """
        query = urlencode({"addr": str(endpoint), "proto": proto})
        answer = await self._get(f"/localapi/v0/whois?{query}")
        return None if answer is None else parse_whois(answer)

    async def may_bring(self, port: int) -> bool:
        """Whether a connection from this port of loopback can be one that the daemon, in userspace, brings.

        A connection of another user's program may share the port with one of the daemon's, for which alone
        whois answers. Where the system does not tell whose they are, it can.
        """
        if isinstance(self._where, LocalPort):
            return False
        users = await trio.to_thread.run_sync(users_of, port)
        try:
            # A socket is its maker's.
            daemons = (await trio.Path(self._where).stat()).st_uid
        except OSError:
            return False
        return users is None or users == {daemons}

    async def _status(self, target: str) -> Any:
        answer = await self._get(target)
        if answer is None:
            raise TailscaleError("broken", "tailscaled has no status", "is its version older than 1.8?")
        return answer

    async def _get(self, target: str) -> Any:
        try:
            with trio.fail_after(ASK_SECONDS):
                status, body = await self._exchange(target)
        except (OSError, trio.TooSlowError, trio.BrokenResourceError, h11.ProtocolError) as error:
            raise explain(error, str(self._where)) from error
        if status == 404:
            return None
        if status in (401, 403):
            raise _not_permitted(body[:200].decode(errors="replace").strip())
        if status != 200:
            raise TailscaleError("broken", f"tailscaled answered with HTTP status {status}")
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            raise TailscaleError("broken", "tailscaled's answer is no JSON") from error

    async def _exchange(self, target: str) -> tuple[int, bytes]:
        """(status, body) of one GET; the Host header sets it apart from a browser's request."""
        headers = [("Host", HOST), ("Connection", "close")]
        stream: trio.SocketStream
        if isinstance(self._where, LocalPort):
            proof = b64encode(f":{self._where.token}".encode()).decode()
            headers.append(("Authorization", f"Basic {proof}"))
            stream = await trio.open_tcp_stream("127.0.0.1", self._where.port)
        else:
            stream = await trio.open_unix_socket(str(self._where))
        async with stream:
            connection = h11.Connection(h11.CLIENT)
            request = h11.Request(method="GET", target=target, headers=headers)
            await stream.send_all(
                (connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b"")
            )
            return await _read_response(stream, connection)


async def _read_response(stream: trio.SocketStream, connection: h11.Connection) -> tuple[int, bytes]:
    status, body = 0, bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await stream.receive_some(65536))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > ANSWER_LIMIT:
                raise TailscaleError("broken", "tailscaled's answer is too long")
        elif isinstance(event, h11.EndOfMessage):
            return status, bytes(body)


def check_running(state: str) -> None:
    """Raise an error that says what a person can do about a BackendState other than Running."""
    if state == "Running":
        return
    if state in ("NeedsLogin", "NeedsMachineAuth"):
        raise TailscaleError(
            "needs_login", "this machine is not logged in to its tailnet", "run `tailscale up`"
        )
    if state in ("Starting", "NoState"):
        raise TailscaleError("starting", "tailscaled is still starting", "try again in a moment")
    raise TailscaleError(
        "stopped", f"the tailnet is {state.lower() or 'in no known state'}", "run `tailscale up`"
    )


def explain(error: Exception, where: str) -> TailscaleError:
    """The error that a failed request stands for, with what to do about it."""
    if isinstance(error, PermissionError):
        return _not_permitted(f"no access to {where}")
    if not isinstance(error, h11.ProtocolError) and not _is_nobody(error):
        return TailscaleError("broken", f"tailscaled does not answer at {where}", "restart tailscaled")
    if isinstance(error, h11.ProtocolError):
        return TailscaleError(
            "broken", f"what answers at {where} is no tailscaled", "see --tailscaled-socket"
        )
    return TailscaleError("not_running", f"tailscaled is not running: nothing answers at {where}", "start it")


def _is_nobody(error: Exception) -> bool:
    """Whether the system says that nothing listens there. Connections to a daemon that is stuck break."""
    nobody = isinstance(error, FileNotFoundError | NotADirectoryError | ConnectionRefusedError)
    # Trio's sum of several errors has no number.
    return nobody or (isinstance(error, OSError) and error.errno is None)


def _not_permitted(detail: str) -> TailscaleError:
    return TailscaleError(
        "not_permitted",
        f"this user may not ask tailscaled: {detail}",
        "run `sudo tailscale set --operator=$USER`, or `mesh` as root",
    )
