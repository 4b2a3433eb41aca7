"""Which of this machine's addresses to advertise to other machines."""

import ipaddress
import re
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

MAX_ADVERTISED = 8

_SYS_NET = Path("/sys/class/net")

# docker, podman, libvirt, lxc, Kubernetes' plug-ins and hypervisors make these: many machines have the same
# private addresses there, and no other machine can reach them.
_VIRTUAL = re.compile(
    r"(docker|br-|bridge|virbr|vmbr|lxcbr|lxdbr|podman|cni|flannel|cali|vboxnet|vmnet|vnic|hyperv|dummy|ifb|tap)"
)

_TAILNET = ipaddress.ip_network("100.64.0.0/10")


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface as the system shows it; ``addresses`` are numeric, IPv6 ones may carry a scope."""

    name: str
    up: bool
    loopback: bool
    bridge: bool
    addresses: tuple[str, ...]


def local_addresses(bind: str | None = None) -> list[str]:
    """The addresses to advertise: ``bind`` unchanged if named, else what :func:`advertised` makes of this
    machine's.
    """
    if bind is not None and bind not in ("0.0.0.0", "::"):
        return [bind]
    return advertised(sample())


def advertised(interfaces: Sequence[Interface]) -> list[str]:
    """At most 8 addresses at which other machines could reach this one, the most promising first.

    IPv4 of the LAN, then a tailnet's (slower where both ways lead to the same machine), then link-local IPv4
    (a cable without a DHCP server), then IPv6. Never loopback, bridges, what is down, or link-local IPv6,
    which needs a scope that only this machine knows.
    """
    ranked: list[tuple[int, str]] = []
    for interface in interfaces:
        if interface.loopback or interface.bridge or not interface.up or _VIRTUAL.match(interface.name):
            continue
        for text in interface.addresses:
            rank = _rank(text)
            if rank is not None and (rank, text) not in ranked:
                ranked.append((rank, text))
    return [text for _, text in sorted(ranked, key=lambda pair: pair[0])][:MAX_ADVERTISED]


def _rank(text: str) -> int | None:
    address = ipaddress.ip_address(text.partition("%")[0])
    if address.is_loopback or address.is_multicast or address.is_unspecified:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        return None if address.is_link_local else 3
    if address.is_link_local:
        return 2
    return 1 if address in _TAILNET else 0


def sample() -> list[Interface]:
    """This machine's interfaces as they are now."""
    states = psutil.net_if_stats()
    found = []
    for name, addresses in psutil.net_if_addrs().items():
        state = states.get(name)
        flags = state.flags.split(",") if state is not None else []
        found.append(
            Interface(
                name=name,
                up=state is not None and state.isup,
                loopback="loopback" in flags,
                bridge=sys.platform == "linux" and (_SYS_NET / name / "bridge").exists(),
                addresses=tuple(
                    one.address for one in addresses if one.family in (socket.AF_INET, socket.AF_INET6)
                ),
            )
        )
    return found
