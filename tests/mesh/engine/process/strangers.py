"""Another local user, who looks for whatever listens and says HELLO to it."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import psutil
import trio

from mesh.engine.process.loopback_owner import Address, holds

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
    ours = [os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))]
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and any(holds(process, int(words[9])) for process in ours):
                found.append(_read(words[1]))
    return found


def _read(written: str) -> Address:
    host, _, port = written.partition(":")
    if len(host) != 8:
        return "", int(port, 16)
    return socket.inet_ntoa(int(host, 16).to_bytes(4, sys.byteorder)), int(port, 16)
