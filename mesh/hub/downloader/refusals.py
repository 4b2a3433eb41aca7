"""How an exchange over HTTP fails: it breaks off, or the server refuses. Pure."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

MOST_SHOWN: Final = 200
_FOR_PROGRAMS: Final = re.compile(r"^\[[^\]]*\]\s*|\s*\(_ssl\.c:\d+\)$")
"""What the system and OpenSSL add to their words: ``[Errno 111]``, ``[SSL: ...]``, ``(_ssl.c:1006)``."""
_UNKNOWN_HOST: Final = (
    "name or service not known",
    "nodename nor servname provided",
    "no address associated",
)
_RATE_LIMIT: Final = re.compile(r"\br\s*=\s*0\s*;\s*t\s*=\s*(\d{1,9})")


class Broken(Exception):
    """No answer, or only a part of one came: another try may help."""


class NeverBegun(Broken):
    """Nothing was reached at all; ``offline``: the person has forbidden it by HF_HUB_OFFLINE."""

    def __init__(self, message: str, offline: bool = False) -> None:
        super().__init__(message)
        self.offline = offline


class HttpRefusal(Exception):
    """The server answered ``status``; ``code`` and ``message`` are the hub's own words, where it has any.

    ``wait``: seconds after which the server wants to be asked again, None where it says nothing of that.
    """

    def __init__(self, url: str, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(f"{shown(url)} answers {status}")
        self.url = url
        self.status = status
        named = {key.lower(): value for key, value in headers.items()}
        self.code = named.get("x-error-code", "")
        self.message = named.get("x-error-message", "")[:MOST_SHOWN]
        self.wait = asked_wait(named, datetime.now(UTC)) if status in (429, 503) else None

    @property
    def passing(self) -> bool:
        """Whether another try may help."""
        return self.status in (408, 429) or self.status >= 500


def in_words(error: Exception) -> str:
    """What an error of the network says, without its numbers."""
    text = _FOR_PROGRAMS.sub("", str(error).strip())
    if text.lower().startswith(_UNKNOWN_HOST):
        return "no host of that name is known"
    return text[:1].lower() + text[1:] if text else type(error).__name__


def asked_wait(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds, from Retry-After (a number or a date) or the hub's rate limit; names in lower case."""
    limited = _RATE_LIMIT.search(headers.get("ratelimit", ""))
    if limited:
        return float(limited[1])
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (date - now).total_seconds()) if date.tzinfo else None


def shown(url: str) -> str:
    """An address for people: without user, password and query, which may be secret."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "the address"
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}{port}{parts.path}"[:MOST_SHOWN]
