"""How a tunnel's bytes travel: under TLS, or in the open where the link itself is protected.

TLS has proved both peers before. Both ends then drop it only if they agree that the link needs none. That
is so when both see the same two addresses and ports (so nothing forwards in between), and these are loopback,
which stays in the kernel, or a tailnet's, which WireGuard encrypts.

The gate's answer to a leader is ``{"ok": true, "ends": [its own, the leader's]}``. It holds ``ends`` only
where the gate trusts the link and the leader said that it can do without TLS (``{"plain": true}`` among the
stream's arguments). The leader answers that with ``{"plain": bool}``.
"""

import ipaddress
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

import trio

from mesh.net.discovery.tailscale import Tailscale, TailscaleError
from mesh.net.session import StreamError
from mesh.net.stream_ends import End, Plain, Sealed
from mesh.wire.endpoint import Endpoint

AGREEMENT_SECONDS: Final = 5.0

Trusts = Callable[[Endpoint, Endpoint], Awaitable[bool]]
"""(local, remote) of a connection: whether its bytes are encrypted, or out of reach, without TLS."""


class Bare(Protocol):
    """A proved stream that can continue with or without TLS."""

    @property
    def arguments(self) -> Mapping[str, Any]: ...
    @property
    def local(self) -> Endpoint: ...
    @property
    def remote(self) -> Endpoint: ...

    async def send_message(self, message: Any, /) -> None: ...
    async def receive_message(self, limit: int = ..., /) -> Any: ...
    async def unwrap(self) -> Plain: ...
    def sealed(self) -> Sealed: ...


async def never(local: Endpoint, remote: Endpoint) -> bool:
    """Trust no link: always TLS."""
    return False


def trusts_by(tailscale: Tailscale | None) -> Trusts:
    """Trust loopback, and links between this machine's tailnet address and a peer's.

    This machine's own tailscaled must confirm the latter.
    """

    async def trusts(local: Endpoint, remote: Endpoint) -> bool:
        if _is_loopback(local) and _is_loopback(remote):
            return True
        if tailscale is None or not (_is_tailnets(local) and _is_tailnets(remote)):
            return False
        try:
            status = await tailscale.status()
        except TailscaleError:
            return False
        theirs = {address for peer in status.peers for address in peer.addresses}
        return local.host in status.self_addresses and remote.host in theirs

    return trusts


async def accept_leader(session: Bare, trusts: Trusts) -> End:
    """The gate's side: say that the bytes are rpc-server's from now on, and how they travel."""
    with trio.move_on_after(AGREEMENT_SECONDS):
        if session.arguments.get("plain") is not True or not await trusts(session.local, session.remote):
            await session.send_message({"ok": True})
            return session.sealed()
        await session.send_message({"ok": True, "ends": [str(session.local), str(session.remote)]})
        answer = await session.receive_message(64)
        if answer == {"plain": True}:
            return await session.unwrap()
        return session.sealed()
    raise StreamError("the leader did not say how its bytes shall travel")


async def enter_gate(session: Bare, word: Mapping[str, Any], trusts: Trusts) -> End:
    """The leader's side, after the gate's answer ``word``; the caller limits the wait."""
    ends = word.get("ends")
    if ends is None:
        return session.sealed()
    mirrored = ends == [str(session.remote), str(session.local)]
    plain = mirrored and await trusts(session.local, session.remote)
    await session.send_message({"plain": plain})
    return await session.unwrap() if plain else session.sealed()


def _is_loopback(endpoint: Endpoint) -> bool:
    return _address(endpoint).is_loopback


_TAILNET = (ipaddress.ip_network("100.64.0.0/10"), ipaddress.ip_network("fd7a:115c:a1e0::/48"))


def _is_tailnets(endpoint: Endpoint) -> bool:
    return any(_address(endpoint) in network for network in _TAILNET)


def _address(endpoint: Endpoint) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(endpoint.host.partition("%")[0])
