"""Turns what a person typed into an address."""

import socket

import trio

from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError


async def resolve(text: str, default_port: int) -> Endpoint:
    """The endpoint of HOST, HOST:PORT or [V6]:PORT; a name is looked up. MeshError when it is unknown."""
    try:
        return Endpoint.parse(text, default_port)
    except MeshError:
        host, _, port = text.rpartition(":") if text.count(":") == 1 else (text, "", "")
    try:
        found = await trio.socket.getaddrinfo(host, int(port or default_port), type=socket.SOCK_STREAM)
    except (OSError, ValueError, UnicodeError) as error:
        raise MeshError(
            f"nobody knows a machine called {host}", "give its address: mesh join IP[:PORT]"
        ) from error
    return Endpoint(str(found[0][4][0]), int(found[0][4][1]))
