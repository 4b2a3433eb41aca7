"""Which headers are passed on to the other side. Pure."""

from collections.abc import Iterable
from typing import Final

from mesh.gateway.access import KEY_HEADERS
from mesh.gateway.connection import Request
from mesh.gateway.replies import Headers

# RFC 9110, section 7.6.1; and headers for the gateway alone: keys stay here, as do cookies, which browsers
# send to every port of a host, and the leader has another name.
_HOP_BY_HOP: Final = frozenset(
    b"connection keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer "
    b"transfer-encoding upgrade".split()
)
_NOT_FORWARDED: Final = KEY_HEADERS | frozenset(
    b"host expect authorization cookie x-mesh-resume x-mesh-patience".split()
)
_OF_THE_BODY: Final = frozenset((b"content-length", b"accept-encoding"))


def forwarded_headers(request: Request) -> Headers:
    """Headers for the leader, when the body is passed on as it arrives."""
    headers = [(b"host", b"localhost")]
    headers += [(name, value) for name, value in end_to_end(request.headers) if name not in _NOT_FORWARDED]
    if any(name == b"transfer-encoding" for name, _ in request.headers):
        headers.append((b"transfer-encoding", b"chunked"))
    return headers


def request_headers(request: Request) -> Headers:
    """Headers for the leader, when the gateway writes the body anew and reads the answer itself."""
    headers = [(b"host", b"localhost")]
    dropped = _NOT_FORWARDED | _OF_THE_BODY
    return headers + [(name, value) for name, value in end_to_end(request.headers) if name not in dropped]


def end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Leave out the headers that concern one connection alone."""
    headers = list(headers)
    named = {
        name.strip().lower() for key, value in headers if key == b"connection" for name in value.split(b",")
    }
    # Keep a length, whatever Connection says: it frames the body that is passed on.
    dropped = (_HOP_BY_HOP | named) - {b"content-length"}
    return [(key, value) for key, value in headers if key not in dropped]
