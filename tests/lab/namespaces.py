"""A bridge, and a network namespace per host.

The bridge has a namespace of its own, so that the machine's interfaces, routes and firewall are neither
changed nor in the way, and the addresses can be the same in every lab.
"""

import ctypes
import functools
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

NETNS = Path("/run/netns")
SUBNET = "10.90.0"
INTERFACE = "eth0"
ISLAND = "br1"
_CLONE_NEWNET = 0x40000000
T = TypeVar("T")


@functools.cache
def available() -> bool:
    """Whether this process may make network namespaces: root, on Linux, with `ip`, and allowed to."""
    if os.geteuid() != 0:
        return False
    try:
        return (
            subprocess.run(["unshare", "--net", "ip", "link"], capture_output=True, timeout=10).returncode
            == 0
        )
    except OSError:
        return False


def add_switch(run: str) -> str:
    """Makes the namespace with the bridge; returns its name. Multicast goes to every port."""
    name = f"{run}-switch"
    ip("netns", "add", name)
    ip(
        "-n",
        name,
        "link",
        "add",
        "br0",
        "type",
        "bridge",
        "stp_state",
        "0",
        "forward_delay",
        "0",
        "mcast_snooping",
        "0",
    )
    batch(name, "link set lo up", "link set br0 up")
    return name


def add_island(switch: str) -> None:
    """Makes a second bridge, to which no host is joined yet; once more does no harm."""
    if _ip_fails(("-n", switch, "link", "show", ISLAND)):
        ip("-n", switch, "link", "add", ISLAND, "type", "bridge", "stp_state", "0", "mcast_snooping", "0")
        batch(switch, f"link set {ISLAND} up")


def add_host(run: str, switch: str, number: int, name: str) -> tuple[str, str]:
    """Makes a host's namespace and its cable to the bridge; returns (namespace, IPv4 address)."""
    namespace, address = f"{run}-{name}", f"{SUBNET}.{number}"
    ip("netns", "add", namespace)
    ip(
        "-n",
        switch,
        "link",
        "add",
        port(number),
        "type",
        "veth",
        "peer",
        "name",
        INTERFACE,
        "netns",
        namespace,
    )
    batch(switch, f"link set {port(number)} master br0 up")
    batch(
        namespace,
        "link set lo up",
        f"addr add {address}/24 dev {INTERFACE}",
        f"link set {INTERFACE} up",
        # No default route: the world is unreachable at once rather than after a time.
        f"route add 224.0.0.0/4 dev {INTERFACE}",
    )
    return namespace, address


def port(number: int) -> str:
    """The bridge's end of a host's cable."""
    return f"port{number}"


def names() -> list[str]:
    """The named network namespaces that this process may delete: none without root."""
    if os.geteuid() != 0 or not NETNS.is_dir():
        return []
    return [entry.name for entry in NETNS.iterdir()]


def delete(name: str) -> None:
    """Deletes a namespace; another run that clears up at the same time may have been faster."""
    result = subprocess.run(["ip", "netns", "del", name], capture_output=True, text=True, timeout=30)
    if result.returncode and (NETNS / name).exists():
        raise RuntimeError(f"cannot delete {name}: {result.stderr}")


def ip(*arguments: str) -> None:
    _ip(arguments)


def batch(namespace: str, *lines: str) -> None:
    """Several `ip` commands inside the namespace with one process."""
    _ip(("-n", namespace, "-batch", "-"), "\n".join(lines))


def inside(namespace: str, function: Callable[[], T]) -> T:
    """Calls the function in a thread that has entered the namespace: a socket that it makes stays there."""
    results: list[T] = []
    problems: list[BaseException] = []

    def enter_and_call() -> None:
        try:
            with (NETNS / namespace).open() as file:
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.setns(file.fileno(), _CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), f"setns({namespace})")
            results.append(function())
        except BaseException as problem:
            problems.append(problem)

    thread = threading.Thread(target=enter_and_call, name=f"in {namespace}")
    thread.start()
    thread.join()
    if problems:
        raise problems[0]
    return results[0]


def narrow(namespace: str, device: str, megabits: float, queue_seconds: float) -> None:
    """What leaves by the device passes at so many Mbit/s; what would wait for longer is dropped (tc-tbf)."""
    words = f"tc qdisc replace dev {device} root tbf rate {megabits}mbit burst 32kb"
    command = [*("ip", "netns", "exec", namespace), *words.split(), "latency", f"{queue_seconds}s"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)}: {result.stderr}")


def _ip_fails(arguments: tuple[str, ...]) -> bool:
    return subprocess.run(["ip", *arguments], capture_output=True, timeout=30).returncode != 0


def _ip(arguments: tuple[str, ...], text: str = "") -> None:
    result = subprocess.run(["ip", *arguments], input=text, capture_output=True, text=True, timeout=30)
    if result.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)}: {result.stderr}{text}")
