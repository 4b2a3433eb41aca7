"""What tailscaled's answers mean: which machines are on the tailnet, which to ask, which have the same owner.
Pure.

Field names are those of Tailscale's ipnstate.Status and apitype.WhoIsResponse. Whatever is missing or of
another type counts as empty: the daemon is another program, of any version.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

MAX_PEERS = 4096
MAX_CANDIDATES = 256
MAX_TEXT = 256

_COMPUTERS = frozenset({"linux", "macos", "windows", "freebsd", "openbsd", "netbsd"})
_NO_USER = "tagged-devices"


@dataclass(frozen=True, slots=True)
class TailnetPeer:
    """A machine of the tailnet. Tagged machines have no user; ``direct`` is known only while packets flow."""

    name: str
    addresses: tuple[str, ...]
    user: str
    tags: tuple[str, ...]
    online: bool
    os: str
    direct: bool
    shared: bool
    expired: bool


@dataclass(frozen=True, slots=True)
class TailnetStatus:
    """What the daemon says of this machine and its peers.

    ``state`` is "Running" when the tailnet can be used.
    """

    state: str
    name: str
    self_addresses: tuple[str, ...]
    self_user: str
    self_tags: tuple[str, ...]
    peers: tuple[TailnetPeer, ...]

    @property
    def user(self) -> str:
        return self.self_user

    @property
    def tags(self) -> tuple[str, ...]:
        return self.self_tags


@dataclass(frozen=True, slots=True)
class Whois:
    """The owner of a connection's other end, as the daemon tells it."""

    name: str
    user: str
    tags: tuple[str, ...]
    shared: bool
    expired: bool


class Owned(Protocol):
    """A machine with an owner: a user, or tags instead of one."""

    @property
    def user(self) -> str: ...
    @property
    def tags(self) -> tuple[str, ...]: ...


class OwnedByPeer(Owned, Protocol):
    """Another machine, which may not be a full part of this tailnet."""

    @property
    def shared(self) -> bool: ...
    @property
    def expired(self) -> bool: ...


def parse_status(answer: Any) -> TailnetStatus:
    """The answer to ``GET /localapi/v0/status``; at most 4096 peers are taken."""
    root = _map(answer)
    users = {str(key): _text(_map(value).get("LoginName")) for key, value in _map(root.get("User")).items()}
    me = _map(root.get("Self"))
    peers = []
    for value in list(_map(root.get("Peer")).values())[:MAX_PEERS]:
        peer = _map(value)
        peers.append(
            TailnetPeer(
                name=_host_name(peer),
                addresses=_texts(peer.get("TailscaleIPs")),
                user=_user(peer, users),
                tags=_texts(peer.get("Tags")),
                online=peer.get("Online") is True,
                os=_text(peer.get("OS")),
                direct=bool(_text(peer.get("CurAddr"))),
                shared=peer.get("ShareeNode") is True or bool(peer.get("AltSharerUserID")),
                expired=peer.get("Expired") is True,
            )
        )
    return TailnetStatus(
        state=_text(root.get("BackendState")),
        name=_host_name(me),
        self_addresses=_texts(me.get("TailscaleIPs")),
        self_user=_user(me, users),
        self_tags=_texts(me.get("Tags")),
        peers=tuple(peers),
    )


def parse_interface(answer: Any) -> bool:
    """Whether, by the same answer, the daemon has a network interface. Without one it runs in userspace, and
    passes what comes for this machine's tailnet address on to 127.0.0.1.
    """
    return _map(answer).get("TUN") is True


def parse_whois(answer: Any) -> Whois:
    """The answer to ``GET /localapi/v0/whois``."""
    root = _map(answer)
    node = _map(root.get("Node"))
    host = _map(node.get("Hostinfo"))
    tags = _texts(node.get("Tags"))
    return Whois(
        name=_text(node.get("ComputedName")) or _text(node.get("Name")).partition(".")[0],
        user="" if tags else _real_user(_text(_map(root.get("UserProfile")).get("LoginName"))),
        tags=tags,
        shared=bool(node.get("Sharer")) or host.get("ShareeNode") is True,
        expired=node.get("Expired") is True,
    )


def same_owner(this: Owned, other: OwnedByPeer) -> tuple[bool, str]:
    """Whether ``other`` has the same owner as ``this`` machine; else why not, to be read behind its name."""
    if other.shared:
        return False, "is shared in from another tailnet"
    if other.expired:
        return False, "has an expired key on the tailnet"
    if this.tags:
        if not other.tags:
            return False, f"belongs to {other.user or 'nobody known'}, this pool to {', '.join(this.tags)}"
        strange = [tag for tag in other.tags if tag not in this.tags]
        if strange:
            return False, f"is tagged {strange[0]}, which is not among this machine's tags"
        return True, ""
    if other.tags:
        return False, f"is tagged {', '.join(other.tags)}, this pool belongs to {this.user or 'nobody known'}"
    if not this.user or other.user != this.user:
        return False, f"belongs to {other.user or 'nobody known'}, this pool to {this.user or 'nobody known'}"
    return True, ""


def candidates(status: TailnetStatus) -> list[TailnetPeer]:
    """The peers worth asking for a pool: online computers, those of the same owner first, then direct ones.

    Machines of other owners are asked too: they decide whether to admit this machine, and this machine's
    person hears their reason.
    """
    worth = [
        peer
        for peer in status.peers
        if peer.online
        and peer.addresses
        and peer.os.lower() in _COMPUTERS
        and not (peer.shared or peer.expired)
    ]
    ranked = sorted(worth, key=lambda peer: (not same_owner(status, peer)[0], not peer.direct, peer.name))
    return ranked[:MAX_CANDIDATES]


def _user(node: Mapping[str, Any], users: Mapping[str, str]) -> str:
    return "" if _texts(node.get("Tags")) else _real_user(users.get(str(node.get("UserID")), ""))


def _real_user(login: str) -> str:
    return "" if login == _NO_USER else login


def _host_name(node: Mapping[str, Any]) -> str:
    return _text(node.get("DNSName")).partition(".")[0] or _text(node.get("HostName"))


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value[:MAX_TEXT] if isinstance(value, str) else ""


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        return ()
    return tuple(one for one in value[:64] if isinstance(one, str) and 0 < len(one) <= MAX_TEXT)
