import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from trio.testing import MockClock

from mesh.net.discovery.tailnet import candidates, same_owner
from mesh.net.discovery.tailscale import (
    LocalPort,
    Tailscale,
    TailscaleError,
    explain,
    find_daemon,
    find_socket,
    parse_proofs,
)
from mesh.wire.endpoint import Endpoint
from tests.lab.fake_tailscaled import fake_tailscaled, serve

CONFIG: dict[str, Any] = {
    "self": {"name": "a", "ip": ["100.64.0.1", "fd7a::1"], "user": "alice@example.com"},
    "peers": [
        {"name": "b", "ip": "100.64.0.2", "user": "alice@example.com"},
        {"name": "c", "ip": "100.64.0.3", "user": "bob@example.com"},
        {"name": "d", "ip": "100.64.0.4", "tags": ["tag:gpu"]},
        {"name": "e", "ip": "100.64.0.5", "shared": True, "direct": False, "os": "iOS"},
    ],
}


class Daemon:
    """A directory with a short path for the socket, and the configuration that the fake reads."""

    def __init__(self, directory: Path) -> None:
        self.socket = directory / "tailscaled.sock"
        self.config = directory / "config.json"
        self.configure(CONFIG)

    def configure(self, config: dict[str, Any]) -> None:
        self.config.write_text(json.dumps(config))


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    # A socket's path may have about 100 bytes, pytest's own are longer on some systems.
    with tempfile.TemporaryDirectory(prefix="mesh") as directory:
        yield Daemon(Path(directory))


@pytest.fixture
async def tailscale(daemon: Daemon) -> AsyncIterator[Tailscale]:
    async with fake_tailscaled(daemon.socket, daemon.config):
        yield Tailscale(daemon.socket)


async def test_the_status_names_this_machine_and_its_peers(tailscale: Tailscale) -> None:
    status = await tailscale.status()
    assert (status.name, status.self_user) == ("a", "alice@example.com")
    assert status.self_addresses == ("100.64.0.1", "fd7a::1")
    assert [(peer.name, peer.user, peer.tags, peer.shared) for peer in status.peers] == [
        ("b", "alice@example.com", (), False),
        ("c", "bob@example.com", (), False),
        ("d", "", ("tag:gpu",), False),
        ("e", "alice@example.com", (), True),
    ]
    assert [peer.name for peer in candidates(status)] == ["b", "c", "d"]


async def test_whois_says_who_calls_by_source_address(tailscale: Tailscale) -> None:
    status = await tailscale.status()
    b = await tailscale.whois(Endpoint("100.64.0.2", 50000))
    c = await tailscale.whois(Endpoint("100.64.0.3", 50000), proto="udp")
    v6 = await tailscale.whois(Endpoint("fd7a::1", 1))
    assert b is not None
    assert same_owner(status, b) == (True, "")
    assert c is not None
    assert same_owner(status, c) == (False, "belongs to bob@example.com, this pool to alice@example.com")
    assert v6 is not None
    assert v6.name == "a"


async def test_a_caller_from_elsewhere_is_nobody(tailscale: Tailscale) -> None:
    assert await tailscale.whois(Endpoint("192.168.1.1", 50000)) is None


async def test_a_changed_tailnet_shows_in_the_next_answer(tailscale: Tailscale, daemon: Daemon) -> None:
    await tailscale.status()
    daemon.configure({"self": CONFIG["self"], "peers": []})
    assert (await tailscale.status()).peers == ()


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("NeedsLogin", "needs_login"),
        ("NeedsMachineAuth", "needs_login"),
        ("Stopped", "stopped"),
        ("Starting", "starting"),
        ("", "stopped"),
    ],
)
async def test_a_tailnet_that_is_not_up_is_said_with_what_helps(
    tailscale: Tailscale, daemon: Daemon, state: str, reason: str
) -> None:
    daemon.configure({**CONFIG, "state": state})
    with pytest.raises(TailscaleError) as caught:
        await tailscale.status()
    assert caught.value.reason == reason
    assert caught.value.hint


async def test_no_daemon_is_said_so(daemon: Daemon) -> None:
    with pytest.raises(TailscaleError) as caught:
        await Tailscale(daemon.socket).status()
    assert caught.value.reason == "not_running"


async def test_a_socket_that_a_dead_daemon_left_is_said_so(daemon: Daemon) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(os.fspath(daemon.socket))
    with pytest.raises(TailscaleError) as caught:
        await Tailscale(daemon.socket).status()
    assert caught.value.reason == "not_running"


def test_a_socket_that_this_user_may_not_open_is_said_so() -> None:
    assert explain(PermissionError(13, "Permission denied"), "/x").reason == "not_permitted"


def test_a_process_without_files_left_does_not_take_the_daemon_for_gone() -> None:
    assert explain(OSError(24, "Too many open files"), "/x").reason == "broken"


async def test_a_daemon_that_takes_no_connection_is_not_said_to_be_gone(daemon: Daemon) -> None:
    with socket.socket(socket.AF_UNIX) as stuck, socket.socket(socket.AF_UNIX) as first:
        stuck.bind(os.fspath(daemon.socket))
        stuck.listen(0)
        first.connect(os.fspath(daemon.socket))
        with pytest.raises(TailscaleError) as caught:
            await Tailscale(daemon.socket).status()
    assert caught.value.reason == "broken"


@pytest.mark.parametrize(("tun", "state"), [(True, "Running"), (False, "Running"), (False, "Stopped")])
async def test_it_says_how_it_runs_whether_or_not_the_tailnet_is_up(
    tailscale: Tailscale, daemon: Daemon, tun: bool, state: str
) -> None:
    daemon.configure({**CONFIG, "tun": tun, "state": state})
    assert await tailscale.has_interface() is tun


async def test_a_port_of_loopback_may_be_a_machine_of_the_tailnet(
    tailscale: Tailscale, daemon: Daemon
) -> None:
    daemon.configure({**CONFIG, "tun": False, "forwarded": {"40001": "100.64.0.3"}})
    whois = await tailscale.whois(Endpoint("127.0.0.1", 40001))
    assert whois is not None
    assert whois.user == "bob@example.com"
    assert await tailscale.whois(Endpoint("127.0.0.1", 40002)) is None


async def test_a_daemon_without_a_socket_brings_nobody(daemon: Daemon) -> None:
    for where in (LocalPort(41112, "token"), daemon.socket):
        assert not await Tailscale(where).may_bring(40001)


async def test_where_the_system_does_not_tell_whose_a_port_is_whois_is_believed(
    tailscale: Tailscale, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.net.discovery.tailscale.users_of", lambda port: None)
    assert await tailscale.may_bring(40001)


@contextlib.asynccontextmanager
async def answering(path: Path, response: bytes) -> AsyncIterator[None]:
    """A daemon that answers everything with the same bytes."""

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some(4096)
            with contextlib.suppress(trio.BrokenResourceError):
                await stream.send_all(response)

    listening = trio.socket.socket(socket.AF_UNIX)
    await listening.bind(os.fspath(path))
    listening.listen()
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, answer, [trio.SocketListener(listening)])
        yield
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{", "broken"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"[" * 200000, "broken"),
        (b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", "broken"),
        (b"HTTP/1.1 403 No\r\nContent-Length: 20\r\n\r\nstatus access denied", "not_permitted"),
        (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", "broken"),
        (b"not http at all\r\n\r\n", "broken"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", "broken"),
    ],
)
async def test_an_answer_that_is_none_is_said_so(daemon: Daemon, response: bytes, reason: str) -> None:
    async with answering(daemon.socket, response):
        with pytest.raises(TailscaleError) as caught:
            await Tailscale(daemon.socket).status()
    assert caught.value.reason == reason


async def test_an_endless_answer_is_given_up(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.net.discovery.tailscale.ANSWER_LIMIT", 1000)
    response = b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + bytes(2000)
    async with answering(daemon.socket, response):
        with pytest.raises(TailscaleError, match="too long"):
            await Tailscale(daemon.socket).status()


async def test_a_daemon_that_stays_silent_is_given_up(daemon: Daemon, autojump_clock: MockClock) -> None:
    listening = trio.socket.socket(socket.AF_UNIX)
    with listening:
        await listening.bind(os.fspath(daemon.socket))
        listening.listen()
        with pytest.raises(TailscaleError, match="does not answer"):
            await Tailscale(daemon.socket).status()


async def test_an_app_on_a_port_is_asked_with_its_proof() -> None:
    requests: list[bytes] = []

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            requests.append(await stream.receive_some(4096))
            await stream.send_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    listening = trio.socket.socket()
    await listening.bind(("127.0.0.1", 0))
    listening.listen()
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, answer, [trio.SocketListener(listening)])
        client = Tailscale(LocalPort(listening.getsockname()[1], "secret"))
        assert await client.whois(Endpoint("100.64.0.2", 5)) is None
        nursery.cancel_scope.cancel()
    assert b"Host: local-tailscaled.sock\r\n" in requests[0]
    assert b"Basic OnNlY3JldA==" in requests[0]


def test_the_proof_of_the_app_stores_app_is_in_its_files_name() -> None:
    assert parse_proofs(["sameuserproof-49152-abc-def"], []) == LocalPort(49152, "abc-def")


def test_the_proof_of_the_stand_alone_app_is_in_its_file() -> None:
    assert parse_proofs([], [("sameuserproof-49152", "abc\n")]) == LocalPort(49152, "abc")


def test_what_is_no_proof_is_passed_over() -> None:
    assert parse_proofs(["sameuserproof-x-y", "sameuserproof-1"], [("sameuserproof-2", "")]) is None


def test_a_proof_is_not_shown() -> None:
    assert "secret" not in repr(LocalPort(1, "secret"))


def test_the_option_names_a_socket_or_turns_the_tailnet_off(tmp_path: Path) -> None:
    assert find_socket("off") is None
    assert find_socket(str(tmp_path / "s")) == tmp_path / "s"


def test_without_the_option_the_usual_places_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "tailscaled.sock"
    monkeypatch.setattr("mesh.net.discovery.tailscale.sys.platform", "linux")
    monkeypatch.setattr("mesh.net.discovery.tailscale._LINUX_SOCKETS", (str(there),))
    assert find_socket() is None
    there.touch()
    assert find_socket() == there


def test_a_folder_that_this_user_may_not_read_may_hold_a_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("mesh.net.discovery.tailscale.sys.platform", "linux")
    monkeypatch.setattr(Path, "exists", refuse)
    assert find_daemon() == find_socket() == Path("/var/run/tailscale/tailscaled.sock")


def test_the_apps_of_macos_have_no_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = LocalPort(41112, "token")
    monkeypatch.setattr("mesh.net.discovery.tailscale.sys.platform", "darwin")
    monkeypatch.setattr("mesh.net.discovery.tailscale._MACOS_SOCKETS", (str(tmp_path / "none"),))
    monkeypatch.setattr("mesh.net.discovery.tailscale._find_app", lambda: app)
    assert find_socket() == app
    assert find_daemon() is None
    assert find_socket("off") is None


async def test_the_fake_refuses_a_browsers_host(daemon: Daemon) -> None:
    async with (
        fake_tailscaled(daemon.socket, daemon.config),
        httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=os.fspath(daemon.socket))) as browser,
    ):
        response = await browser.get("http://evil.example/localapi/v0/status")
    assert response.status_code == 403


async def test_the_fake_replaces_a_socket_that_was_left(daemon: Daemon) -> None:
    daemon.socket.touch()
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, daemon.socket, daemon.config)
        assert (await Tailscale(daemon.socket).status()).name == "a"
        nursery.cancel_scope.cancel()
    assert not daemon.socket.exists()


async def test_the_fake_runs_as_a_program(daemon: Daemon) -> None:
    command = [sys.executable, "-m", "tests.lab.fake_tailscaled"]
    options = ["--socket", os.fspath(daemon.socket), "--config", os.fspath(daemon.config)]
    process = await trio.lowlevel.open_process([*command, *options], stdout=subprocess.DEVNULL)
    try:
        with trio.fail_after(20):
            while True:
                with contextlib.suppress(TailscaleError):
                    assert (await Tailscale(daemon.socket).status()).name == "a"
                    break
                await trio.sleep(0.02)
        process.send_signal(signal.SIGINT)
        with trio.fail_after(10):
            assert await process.wait() == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
