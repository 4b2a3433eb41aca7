"""Which requests are allowed: a page of another site, open in a browser on this machine, may not ask.

Such a page reaches a server on loopback in two ways. It calls the address outright; then the browser sends
its origin. Or its own name resolves to 127.0.0.1 (DNS rebinding); then that name stands in Host. Pure.
"""

import hmac
import re
from collections.abc import Iterable, Iterator
from typing import Final

from mesh.net.addresses import is_loopback

KEY_HEADERS: Final = frozenset((b"x-api-key", b"api-key"))
"""Where clients of other APIs than OpenAI's send a key."""

_AUTHORITY = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[^\[\]:/@]+)(?::(?P<port>\d{0,5}))?")
_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<authority>.+)")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


def refused_host(host: str | None, local: str) -> str | None:
    """Say why this Host header is refused on a connection that arrived at the address `local`, or None.

    On loopback only names and addresses of this machine pass. Elsewhere the gateway cannot judge a name;
    there a key protects it.
    """
    if not is_loopback(local):
        return None
    match = _AUTHORITY.fullmatch((host or "").strip().lower())
    if match is None:
        return "a request needs a Host header"
    name = match["host"].strip("[]").rstrip(".")
    if name == "localhost" or name.endswith(".localhost") or name == local or is_loopback(name):
        return None
    return f"this API answers to localhost and 127.0.0.1, not to the name {name}"


def refused_origin(origin: str | None, host: str | None) -> str | None:
    """Say why a browser's request from this Origin is refused, or return None; only our own page's pass."""
    if origin is None:
        return None
    match = _ORIGIN.fullmatch(origin.strip().lower())
    if match is not None:
        port = _DEFAULT_PORTS[match["scheme"]]
        if _authority(match["authority"], port) == _authority((host or "").strip().lower(), port):
            return None
    return "pages of other sites may not use this API"


def refused_site(site: str | None, path: str, mode: str | None) -> str | None:
    """Say why a browser's request from such a site (Sec-Fetch-Site) is refused, or return None.

    Requests without an Origin, such as an image's, would otherwise run, though the page cannot read the
    answers. A link to our own page is followed.
    """
    if site in (None, "same-origin", "none") or (path == "/" and mode == "navigate"):
        return None
    return "pages of other sites may not use this API"


def is_authorized(headers: Iterable[tuple[bytes, bytes]], api_key: str | None) -> bool:
    """Whether one of the headers that may hold the key does so, if a key is wanted.

    Clients that know several APIs send several keys. Every guess takes the same time.
    """
    if api_key is None:
        return True
    right = False
    for key in _offered_keys(headers):
        right |= hmac.compare_digest(key, api_key.encode())
    return right


def _offered_keys(headers: Iterable[tuple[bytes, bytes]]) -> Iterator[bytes]:
    for name, value in headers:
        if name in KEY_HEADERS:
            yield value.strip()
        elif name == b"authorization":
            scheme, _, token = value.partition(b" ")
            if scheme.lower() == b"bearer":
                yield token.strip()


def _authority(text: str, default_port: str) -> tuple[str, str] | None:
    match = _AUTHORITY.fullmatch(text)
    return None if match is None else (match["host"].rstrip("."), match["port"] or default_port)
