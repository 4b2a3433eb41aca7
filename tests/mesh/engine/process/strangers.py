"""Another local user, who looks for whatever listens and says HELLO to it."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterable

import psutil
import trio

from mesh.engine.process.loopback_owner import Address

USER = 65533
HELLO = bytes([14]) + (24).to_bytes(8, "little") + bytes(24)
"""The first message to an rpc-server."""

SCRIPT = """
import json, os, socket, sys
user, hello, addresses = int(sys.argv[1]), bytes.fromhex(sys.argv[2]), json.loads(sys.argv[3])
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
def heard(host, port):
    try:
        with socket.socket() as client:
            client.settimeout(10)
            client.connect((host, port))
            client.sendall(hello)
            return client.recv(1000).hex()
    except ConnectionError:
        return ""
print(json.dumps([heard(*address) for address in addresses]))
"""


async def heard(addresses: Iterable[Address]) -> dict[Address, bytes]:
    """What each address says to the stranger; nothing where it closes the connection or does not listen.

    As root the stranger is of another user. Else it is another program, from which it is told by nobody.
    """
    asked = list(addresses)
    argv = [sys.executable, "-ISc", SCRIPT, str(USER), HELLO.hex(), json.dumps(asked)]
    done = await trio.run_process(argv, capture_stdout=True, stdin=subprocess.DEVNULL)
    return dict(zip(asked, map(bytes.fromhex, json.loads(done.stdout)), strict=True))


def listening() -> list[Address]:
    """Where this process and its children listen on this machine; the host is empty for IPv6."""
    ours = [psutil.Process(), *psutil.Process().children(recursive=True)]
    sockets = [one for process in ours for one in process.net_connections("tcp")]
    found = [one for one in sockets if one.status == psutil.CONN_LISTEN]
    return list({(one.laddr.ip if one.family == socket.AF_INET else "", one.laddr.port) for one in found})
