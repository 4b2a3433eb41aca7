"""Parses option values that a person typed. Each function raises ValueError with what it expected."""

import re

RIGHTS = ("work", "ask", "lead", "own")

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def duration(text: str) -> float:
    """``24h``, ``30m``, ``7d`` or plain seconds, as seconds."""
    match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,12})?)\s*([smhd]?)", text.strip().lower())
    if match is None or float(match[1]) == 0:
        raise ValueError(f"{text!r} is not a time such as 24h, 30m or 7d")
    return float(match[1]) * _SECONDS[match[2]]


def positive(text: str) -> int:
    """A whole number from 1."""
    if not text.isascii() or not text.isdigit() or int(text) == 0 or len(text) > 12:
        raise ValueError(f"{text!r} is not a whole number from 1")
    return int(text)


def natural(text: str) -> int:
    """A whole number from 0."""
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


def tokens(text: str) -> int:
    """A number of tokens from 1: ``8192``, or ``8k`` for 8 times 1024."""
    match = re.fullmatch(r"([1-9][0-9]{0,11}|[1-9][0-9]{0,8}[kK])", text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a number of tokens such as 8192 or 8k (8 times 1024)")
    number = match[1].lower()
    return int(number[:-1]) * 1024 if number.endswith("k") else int(number)


def layers(text: str) -> dict[str, int]:
    """``NAME=N,...``: how many layers each named member gets."""
    wanted: dict[str, int] = {}
    for part in text.split(","):
        name, equals, number = (piece.strip() for piece in part.rpartition("="))
        if not name or not equals or not number.isascii() or not number.isdigit() or len(number) > 6:
            raise ValueError(f"{part!r} is not NAME=N, a member and its number of layers")
        if name in wanted:
            raise ValueError(f"{name!r} is given twice")
        wanted[name] = int(number)
    return wanted


def rights(text: str) -> list[str]:
    """Some of work, ask, lead, own, separated by commas."""
    wanted = {part.strip() for part in text.split(",")}
    if not wanted <= set(RIGHTS):
        raise ValueError(f"{text!r} is not made of {', '.join(RIGHTS)}")
    return [right for right in RIGHTS if right in wanted]


def host(text: str) -> str:
    """HOST, HOST:PORT, an IPv6 address or [V6]:PORT; names are not resolved here."""
    text = text.strip()
    bracketed = re.fullmatch(r"\[([0-9a-fA-F:.]+(?:%[\w.-]+)?)\](?::(\d{1,5}))?", text)
    named = re.fullmatch(r"([A-Za-z0-9_](?:[\w.-]*[\w.])?)(?::(\d{1,5}))?", text, re.ASCII)
    bare_v6 = re.fullmatch(r"[0-9a-fA-F]*:[0-9a-fA-F:.]*:[0-9a-fA-F.]*(?:%[\w.-]+)?", text)
    match = bracketed or named
    if match is None and bare_v6 is None:
        raise ValueError(f"{text!r} is neither a host nor an invite (those start with mesh1:)")
    if match is not None and match[2] is not None and not 0 < int(match[2]) < 65536:
        raise ValueError(f"{text!r}: {match[2]} is not a port")
    return text


def token(text: str) -> str:
    """An invite; the sidecar finds out whether it is valid."""
    text = text.strip()
    if not is_token(text) or any(c.isspace() for c in text):
        raise ValueError("an invite is one word that starts with mesh1:")
    return text


def is_token(text: str) -> bool:
    """Whether the text is meant as an invite, of any version."""
    return re.match(r"mesh\d+:", text.strip()) is not None
