"""Asking tailscaled, over its LocalAPI, who is on the tailnet and who is calling."""

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from mesh.net.tailnet import TailnetStatus, Whois, parse_status, parse_whois
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
    """The tailnet cannot be used; ``reason`` is one word: not_running, not_permitted, needs_login, starting,
    stopped, broken.
    """

    def __init__(self, reason: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class LocalPort:
    """Where macOS' sandboxed apps answer instead of on a socket, and what proves that the same user asks."""

    port: int
    token: str

    def __repr__(self) -> str:
        return f"LocalPort(port={self.port})"


def find_socket(option: str | None = None) -> Path | LocalPort | None:
    """Where tailscaled answers: at the path ``option`` if given, nowhere if that is "off", else at its usual
    places.
    """
    if option == "off":
        return None
    if option:
        return Path(option)
    sockets = _MACOS_SOCKETS if sys.platform == "darwin" else _LINUX_SOCKETS
    for path in map(Path, sockets):
        if path.exists():
            return path
    return _find_app() if sys.platform == "darwin" else None


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
    """The first proof among file ``names`` ``sameuserproof-PORT-TOKEN`` (the App Store's app) and ``files``
    named ``sameuserproof-PORT`` that hold the token (the stand-alone app).
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
    """One machine's tailscaled; an async context that keeps its connection."""

    def __init__(self, where: Path | LocalPort) -> None:
        self._where = where
        local_port = where if isinstance(where, LocalPort) else None
        # The environment's proxies are no way to a socket on this machine.
        self._client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=None if local_port else str(where)),
            base_url=f"http://127.0.0.1:{local_port.port}" if local_port else f"http://{HOST}",
            headers={"Host": HOST},
            auth=httpx.BasicAuth("", local_port.token) if local_port else None,
            timeout=ASK_SECONDS,
            trust_env=False,
        )

    async def __aenter__(self) -> "Tailscale":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def status(self) -> TailnetStatus:
        """This machine and its peers. Raises :class:`TailscaleError`, also when the tailnet is not up."""
        answer = await self._get("/localapi/v0/status", {})
        if answer is None:
            raise TailscaleError("broken", "tailscaled has no status", "is its version older than 1.8?")
        status = parse_status(answer)
        check_running(status.state)
        return status

    async def whois(self, endpoint: Endpoint, proto: str = "tcp") -> Whois | None:
        """To whom the other end of a connection belongs; None if it is not on the tailnet.

        The port matters: under userspace networking connections come from 127.0.0.1, and the port tells them
        apart.
        """
        answer = await self._get("/localapi/v0/whois", {"addr": str(endpoint), "proto": proto})
        return None if answer is None else parse_whois(answer)

    async def _get(self, path: str, query: dict[str, str]) -> Any:
        try:
            async with self._client.stream("GET", path, params=query) as response:
                body = bytearray()
                async for part in response.aiter_bytes():
                    body += part
                    if len(body) > ANSWER_LIMIT:
                        raise TailscaleError("broken", "tailscaled's answer is too long")
        except httpx.HTTPError as error:
            raise explain(error, str(self._where)) from error
        if response.status_code == 404:
            return None
        if response.status_code in (401, 403):
            raise _not_permitted(bytes(body[:200]).decode(errors="replace").strip())
        if response.status_code != 200:
            raise TailscaleError("broken", f"tailscaled answered with HTTP status {response.status_code}")
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            raise TailscaleError("broken", "tailscaled's answer is no JSON") from error


def check_running(state: str) -> None:
    """Raise what a person can do about a BackendState other than Running."""
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


def explain(error: httpx.HTTPError, where: str) -> TailscaleError:
    """What a failed request says about tailscaled."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, PermissionError):
            return _not_permitted(f"no access to {where}")
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.TimeoutException):
        return TailscaleError("broken", f"tailscaled does not answer at {where}", "restart tailscaled")
    return TailscaleError(
        "not_running", f"tailscaled is not running: nothing answers at {where}", "start tailscaled"
    )


def _not_permitted(detail: str) -> TailscaleError:
    return TailscaleError(
        "not_permitted",
        f"this user may not ask tailscaled: {detail}",
        "run `sudo tailscale set --operator=$USER`, or `mesh` as root",
    )
