"""A tailscaled that is none: it answers the LocalAPI's status and whois over a unix socket, out of a small
file.

The configuration, read again for each request, says who is on the pretended tailnet::

    {"state": "Running",
     "self": {"name": "a", "ip": "100.64.0.1", "user": "alice@example.com", "tags": []},
     "peers": [{"name": "b", "ip": "100.64.0.2", "user": "alice@example.com", "tags": [], "os": "linux",
                "online": true, "direct": true, "shared": false, "expired": false}]}

``ip`` may be a list; all but ``name`` and ``ip`` may be left out. Whois finds a connection's other end by its
source address alone, self included. Three more keys are for a tailscaled that runs in userspace::

    {"tun": false, "forwarded": {"40001": "100.64.0.2"}, "silent": ["whois"]}

What comes from such a port of loopback is that machine's; what is asked of a silent path gets no answer.

    python -m tests.lab.fake_tailscaled --socket PATH --config FILE.json
"""

import argparse
import contextlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import h11
import trio

HOST = "local-tailscaled.sock"
TAGGED = "tagged-devices"


def status_of(config: dict[str, Any]) -> dict[str, Any]:
    """The body of ``/localapi/v0/status``."""
    machines = _machines(config)
    users = _users(machines)
    nodes = [_peer_status(machine, users) for machine in machines]
    return {
        "Version": "1.90.0-fake",
        "TUN": config.get("tun", True),
        "BackendState": config.get("state", "Running"),
        "TailscaleIPs": nodes[0]["TailscaleIPs"],
        "Self": nodes[0],
        "Peer": {f"nodekey:{number:064x}": node for number, node in enumerate(nodes[1:], 1)},
        "User": {
            str(id): {"ID": id, "LoginName": login, "DisplayName": login} for login, id in users.items()
        },
    }


def whois_of(config: dict[str, Any], address: str, port: str = "") -> dict[str, Any] | None:
    """The body of ``/localapi/v0/whois`` for a source address and port; None if it is nobody's."""
    machines = _machines(config)
    if address in ("127.0.0.1", "::1"):
        address = config.get("forwarded", {}).get(port, "")
    users = _users(machines)
    for machine in machines:
        if address in _addresses(machine):
            login = _login(machine)
            return {
                "Node": {
                    "ID": users[login],
                    "Name": f"{machine['name']}.fake.ts.net.",
                    "User": users[login],
                    "Sharer": 99 if machine.get("shared") else 0,
                    "Addresses": _addresses(machine),
                    "Hostinfo": {"OS": machine.get("os", "linux"), "Hostname": machine["name"]},
                    "Tags": machine.get("tags", []),
                    "ComputedName": machine["name"],
                    "Expired": machine.get("expired", False),
                },
                "UserProfile": {"ID": users[login], "LoginName": login, "DisplayName": login},
            }
    return None


def _machines(config: dict[str, Any]) -> list[dict[str, Any]]:
    return [config["self"], *config.get("peers", [])]


def _addresses(machine: dict[str, Any]) -> list[str]:
    ip = machine["ip"]
    return [ip] if isinstance(ip, str) else list(ip)


def _login(machine: dict[str, Any]) -> str:
    return TAGGED if machine.get("tags") else str(machine.get("user", "alice@example.com"))


def _users(machines: list[dict[str, Any]]) -> dict[str, int]:
    return {login: 1000 + number for number, login in enumerate(sorted({_login(one) for one in machines}))}


def _peer_status(machine: dict[str, Any], users: dict[str, int]) -> dict[str, Any]:
    return {
        "ID": f"n{machine['name']}",
        "HostName": machine["name"],
        "DNSName": f"{machine['name']}.fake.ts.net.",
        "OS": machine.get("os", "linux"),
        "UserID": users[_login(machine)],
        "TailscaleIPs": _addresses(machine),
        "Tags": machine.get("tags", []),
        "CurAddr": "192.0.2.1:41641" if machine.get("direct", True) else "",
        "Relay": "" if machine.get("direct", True) else "fra",
        "Online": machine.get("online", True),
        "ShareeNode": machine.get("shared", False),
        "Expired": machine.get("expired", False),
    }


def answer(config: dict[str, Any], target: str, host: str) -> tuple[int, bytes]:
    """(HTTP status, body) for a request's target and Host."""
    if host != HOST:
        return 403, b"invalid localapi request"
    url = urlsplit(target)
    if url.path == "/localapi/v0/status":
        return 200, json.dumps(status_of(config)).encode()
    if url.path == "/localapi/v0/whois":
        address = parse_qs(url.query).get("addr", [""])[0]
        host, _, port = address.rpartition(":")
        found = whois_of(config, host.strip("[]"), port)
        return (404, b"no match for IP:port") if found is None else (200, json.dumps(found).encode())
    return 404, b"404 not found"


async def serve(
    socket_path: Path, config: Path, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Answer at ``socket_path`` until cancelled; a socket left there by an earlier run is replaced."""

    async def converse(stream: trio.SocketStream) -> None:
        connection = h11.Connection(h11.SERVER)
        with contextlib.suppress(trio.BrokenResourceError, h11.RemoteProtocolError):
            while await _one_exchange(stream, connection, config):
                connection.start_next_cycle()
        await stream.aclose()

    await trio.to_thread.run_sync(lambda: socket_path.unlink(missing_ok=True))
    listening = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
    try:
        await listening.bind(os.fspath(socket_path))
        listening.listen(64)
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_listeners, converse, [trio.SocketListener(listening)])
            task_status.started()
    finally:
        listening.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(socket_path)


async def _one_exchange(stream: trio.SocketStream, connection: h11.Connection, config: Path) -> bool:
    """Answer one request; False when the connection is done."""
    request: h11.Request | None = None
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await stream.receive_some(4096))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.EndOfMessage) and request is not None:
            break
        elif isinstance(event, h11.ConnectionClosed):
            return False
    host = dict(request.headers).get(b"host", b"").decode()
    content = json.loads(await trio.Path(config).read_text())
    if urlsplit(request.target.decode()).path.rpartition("/")[2] in content.get("silent", []):
        await trio.sleep_forever()
    code, body = answer(content, request.target.decode(), host)
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    for part in (h11.Response(status_code=code, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
        await stream.send_all(connection.send(part) or b"")
    return connection.our_state is h11.DONE and connection.their_state is h11.DONE


@contextlib.asynccontextmanager
async def fake_tailscaled(socket_path: Path, config: Path) -> AsyncIterator[Path]:
    """Serve for the length of a ``with`` block."""
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, socket_path, config)
        try:
            yield socket_path
        finally:
            nursery.cancel_scope.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(description="answer tailscaled's LocalAPI out of a file")
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--config", type=Path, required=True)
    given = parser.parse_args()
    try:
        trio.run(serve, given.socket, given.config)
    except* KeyboardInterrupt:
        # The way to stop it; it comes in a group where it hits a connection.
        pass


if __name__ == "__main__":
    main()
