"""HELLO, the first message each way of rpc-server's protocol, without what would lead around the gate.

In HELLO both sides may offer to continue over RDMA, which no gate sees or cuts: 24 bytes of capabilities
each. Blanking them both ways keeps both on TCP. rpc-server itself wants HELLO first, and once.
"""

import struct

from mesh.net.stream_ends import End

HELLO = 14
CAPABILITIES = 24
_VERSION = 4  # bytes of a reply before its capabilities
_REQUEST = struct.Struct("<BQ")  # command, length; then the capabilities
_REPLY = struct.Struct("<Q")  # length; then the version and the capabilities


def blank_request(leader: End) -> bytes:
    """A client's HELLO without its capabilities. Empty if the client closed without a byte.

    Raises ValueError if it sent something else, OSError if it broke off.
    """
    head = _exactly(leader, _REQUEST.size)
    if not head:
        return b""
    if _REQUEST.unpack(head) != (HELLO, CAPABILITIES):
        raise ValueError("a client must begin with HELLO")
    if len(_exactly(leader, CAPABILITIES)) < CAPABILITIES:
        return b""
    return head + bytes(CAPABILITIES)


def blank_reply(server: End) -> bytes:
    """rpc-server's answer to HELLO without its capabilities. Empty if it closed instead; errors as above."""
    head = _exactly(server, _REPLY.size)
    if not head:
        return b""
    if _REPLY.unpack(head) != (_VERSION + CAPABILITIES,):
        raise ValueError("rpc-server's answer to HELLO is of another protocol")
    version = _exactly(server, _VERSION + CAPABILITIES)[:_VERSION]
    return head + version + bytes(CAPABILITIES) if len(version) == _VERSION else b""


def _exactly(end: End, count: int) -> bytes:
    """The next ``count`` bytes; empty if the stream ends before."""
    received = bytearray()
    while len(received) < count:
        data = end.receive(count - len(received))
        if not data:
            return b""
        received += data
    return bytes(received)
