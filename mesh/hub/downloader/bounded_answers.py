"""What the hub answers to the library, within bounds of bytes and of time.

The library reads each answer whole. A hub, or whoever stands in its place, might send one that never ends, or
one that a few bytes unpack to gigabytes.
"""

import time
from collections.abc import Iterator
from typing import Final

import httpx2

from mesh.hub.hub_lines import HubError

MOST_BYTES: Final = 16 << 20
"""Of one answer; that of a repository with some thousand files has one or two MiB."""
MOST_SECONDS: Final = 120.0
"""For the body of one answer, however little comes at a time."""


def ask_plainly(request: httpx2.Request) -> None:
    """Ask for bytes as they are, so that those that are counted are all there are."""
    request.headers["Accept-Encoding"] = "identity"


def bounded(response: httpx2.Response) -> None:
    """Have the answer's body end in an error beyond the bounds. Raises HubError for one that is packed."""
    if response.request.method == "HEAD":
        return
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise HubError("wrong", "the hub packs its answers, though it was asked not to", "see HF_ENDPOINT")
    assert isinstance(response.stream, httpx2.SyncByteStream)
    response.stream = BoundedBody(response.stream)


class BoundedBody(httpx2.SyncByteStream):
    """The body of one answer. Raises HubError beyond its bytes, ReadTimeout beyond its time."""

    def __init__(self, body: httpx2.SyncByteStream) -> None:
        self._body = body
        self._until = time.monotonic() + MOST_SECONDS

    def __iter__(self) -> Iterator[bytes]:
        count = 0
        for chunk in self._body:
            count += len(chunk)
            if count > MOST_BYTES:
                raise HubError("wrong", "the hub answers more than any hub does", "see HF_ENDPOINT")
            if time.monotonic() > self._until:
                raise httpx2.ReadTimeout("the answer does not end")
            yield chunk

    def close(self) -> None:
        self._body.close()
