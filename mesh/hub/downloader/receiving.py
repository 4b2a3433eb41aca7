"""One range of a file over HTTP, written into an open file where it belongs.

The client is the one that the hub's library brings along, for another would double the process' start.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final

import httpx2

from mesh.hub.downloader.refusals import Broken, HttpRefusal, NeverBegun, in_words, shown
from mesh.hub.hub_lines import HubError

CONNECT_SECONDS: Final = 10.0
SILENT_SECONDS: Final = 30.0
"""For the answer's head, and between two pieces of its body."""
MOST_REDIRECTS: Final = 10
MOST_VALIDATOR: Final = 1000
"""Characters of what a server calls a version of a file."""


@dataclass(frozen=True, slots=True)
class BodyHead:
    """What a server says of what it is about to send.

    ``size`` is that of the whole file, None where it does not say; the body begins at ``start``.
    ``validator`` is what its server calls this version of the file; empty: nothing.
    """

    size: int | None
    start: int
    validator: str
    is_page: bool


@dataclass(frozen=True, slots=True)
class Span:
    """From byte ``start`` on to before ``stop``, of the version that its server calls ``validator``."""

    start: int = 0
    stop: int | None = None
    validator: str = ""


def http_client() -> httpx2.Client:
    """A client with limits to every wait; proxies and certificates as the environment says."""
    return httpx2.Client(timeout=httpx2.Timeout(SILENT_SECONDS, connect=CONNECT_SECONDS))


def receive(
    client: httpx2.Client,
    url: str,
    headers: Mapping[str, str],
    span: Span,
    out: BinaryIO,
    accept: Callable[[BodyHead], None],
    on_place: Callable[[int], None],
) -> BodyHead:
    """Write the span of the file at ``url`` into ``out``, at the same place as in the file.

    What ``out`` holds from there on goes; all of it where the server does not know ranges. ``accept`` looks
    at what the server says before anything is written, and may raise. ``on_place`` hears how far ``out``
    is full. Raises Broken where a part of the span is missing, HttpRefusal, or what ``accept`` raises.
    """
    asked = {**headers, "Accept-Encoding": "identity"}
    if span.start or span.stop is not None:
        last = "" if span.stop is None else str(span.stop - 1)
        asked["Range"] = f"bytes={span.start}-{last}"
        if span.start and span.validator:
            asked["If-Range"] = span.validator
    try:
        response = _answer(client, url, asked)
        try:
            head = _head(response, span.start)
            accept(head)
            ends = [one for one in (span.stop, head.size) if one is not None]
            # A body may go on beyond the size that its server told.
            end = min(ends) if ends else None
            place = _write(response, head, end, out, on_place)
        finally:
            response.close()
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError) as error:
        raise NeverBegun(_reason(error)) from error
    except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
        raise Broken(_reason(error)) from error
    if end is not None and place < end:
        raise Broken(f"the connection was cut at byte {place} of {end}")
    return head


def _answer(client: httpx2.Client, url: str, headers: Mapping[str, str]) -> httpx2.Response:
    """The answer after all redirects; the client leaves out what is secret for other hosts."""
    request = client.build_request("GET", url, headers=headers)
    for _ in range(MOST_REDIRECTS):
        response = client.send(request, stream=True, follow_redirects=False)
        following = response.next_request
        if following is None:
            if response.status_code not in (200, 206, 416):
                response.close()
                raise HttpRefusal(url, response.status_code, response.headers)
            return response
        response.close()
        if request.url.scheme == "https" and following.url.scheme != "https":
            raise HubError(
                "failed",
                f"{shown(url)} leads to {shown(str(following.url))}, which is not secured",
                "ask its operator for an address that stays with https",
            )
        request = following
    raise HubError("failed", f"{shown(url)} redirects in a circle", "check the address in a browser")


def _head(response: httpx2.Response, start: int) -> BodyHead:
    headers = response.headers
    tag = headers.get("etag", "")
    validator = tag if tag and not tag.startswith("W/") else headers.get("last-modified", "")
    if not validator.isascii() or len(validator) > MOST_VALIDATOR:
        validator = ""  # it could not be sent back
    is_page = headers.get("content-type", "").lower().startswith(("text/html", "application/xhtml"))
    if response.status_code == 200:
        encoded = headers.get("content-encoding", "identity") != "identity"
        return BodyHead(None if encoded else _number(headers.get("content-length")), 0, validator, is_page)
    span, _, whole = headers.get("content-range", "").removeprefix("bytes").strip().partition("/")
    first = _number(span.partition("-")[0])
    if response.status_code == 206 and first != start:
        raise Broken("the server sent another part than was asked for")
    return BodyHead(_number(whole), start, validator, is_page)


def _write(
    response: httpx2.Response,
    head: BodyHead,
    stop: int | None,
    out: BinaryIO,
    on_place: Callable[[int], None],
) -> int:
    """Returns how far ``out`` is full."""
    if response.status_code == 416:
        # Nothing is there from this byte on: either all was there already, or it is no part of this file.
        place = out.seek(0, 2)
        if head.size != place:
            out.truncate(0)
            raise Broken("what was there is no part of the file")
        return place
    place = out.seek(head.start)
    out.truncate()
    on_place(place)
    for chunk in response.iter_bytes():
        part = chunk if stop is None else chunk[: max(0, stop - place)]
        out.write(part)
        place += len(part)
        on_place(place)
        if stop is not None and place >= stop:
            break
    out.flush()
    return place


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None


def _reason(error: Exception) -> str:
    if isinstance(error, httpx2.TimeoutException):
        return "the server is silent"
    if isinstance(error, httpx2.ReadError | httpx2.RemoteProtocolError):
        return "the connection broke off"
    return in_words(error)
