"""Which heads of requests are refused because two readers may read them differently. Pure.

The gateway judges a request by what it reads, and others read what it passes on: a proxy before it, the
leader, llama-server. So a head that says one thing twice, or may end at two places, is no head. This goes
beyond what h11 refuses, which takes equal lengths for one and lets chunks stand beside a length.
"""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Final

_ONCE: Final = frozenset(
    b"host origin authorization proxy-authorization x-api-key api-key content-length content-type "
    b"content-encoding transfer-encoding expect cookie".split()
)
_ONCE_PREFIXES: Final = (b"sec-fetch-", b"x-mesh-")
_LENGTH: Final = re.compile(rb"[0-9]+")
_VERSIONS: Final = (b"1.0", b"1.1")


@dataclass(frozen=True, slots=True)
class FaultyHead:
    """Why a head is refused, and with which status."""

    status: int
    message: str


def faulty_head(head: bytes, version: bytes) -> FaultyHead | None:
    """Say why a head is refused, or return None; ``head`` is as it came, and a head by h11's rules."""
    if version not in _VERSIONS:
        return FaultyHead(505, "this API speaks HTTP/1.1")
    lines = head.split(b"\n")
    if any(not line.endswith(b"\r") for line in lines[:-1]):
        return FaultyHead(400, "a line of the head does not end with CR LF")
    if any(line[:1] in (b" ", b"\t") for line in lines[1:]):
        return FaultyHead(400, "a header goes on in the next line")
    pairs = [line.partition(b":") for line in lines[1:]]
    return _faulty_fields([(name.lower(), value.strip()) for name, _, value in pairs], version)


def _faulty_fields(fields: list[tuple[bytes, bytes]], version: bytes) -> FaultyHead | None:
    for name, times in Counter(name for name, _ in fields).items():
        if times > 1 and (name in _ONCE or name.startswith(_ONCE_PREFIXES)):
            return FaultyHead(400, f"there is more than one header {name.decode('latin-1')}")
    values = dict(fields)
    if (length := values.get(b"content-length")) is not None and not _LENGTH.fullmatch(length):
        return FaultyHead(400, "the header content-length is no number")
    if b"transfer-encoding" in values:
        if length is not None:
            return FaultyHead(400, "a body has either content-length or transfer-encoding")
        if version == b"1.0":
            return FaultyHead(400, "HTTP/1.0 has no transfer-encoding")
    return None
